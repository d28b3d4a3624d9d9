"""amask-export: write the backbone of a checkpoint to a file that other libraries can load."""

from contextlib import suppress
from functools import partial
from pathlib import Path

from omegaconf import DictConfig
from rich.console import Console

from amask_solo.checkpoints.last import find_checkpoint
from amask_solo.cli.jobs import own_place
from amask_solo.cli.main import command
from amask_solo.cli.sweep_table import table_at_the_end
from amask_solo.errors import UserError
from amask_solo.files import check_place, expanded, read_object
from amask_solo.hosts.blueprint import describes_export
from amask_solo.hosts.names import check_timm, is_timm
from amask_solo.layout import CHECKPOINTS, CONFIG
from amask_solo.runs.run_folder import WRITTEN
from amask_solo.settings.evaluation import check_export

SUFFIX = {"torchvision": ".pth", "timm": ".pth", "safetensors": ".safetensors", "onnx": ".onnx", "detectron2": ".pkl"}
"""The suffix of each format."""


def main() -> None:
    """Run the command."""
    with table_at_the_end() as word:
        command("export", partial(_run, word))


def _run(word: Path, cfg: DictConfig) -> None:
    # The imports take seconds, so the checks come first.
    check_export(cfg)
    checkpoint = find_checkpoint(cfg.ckpt)
    check_place(expanded(cfg.path) if cfg.path else _beside(checkpoint, "timm", cfg.which), "path")
    if cfg.path:
        own_place(word, expanded(cfg.path), "Leave out path, or put the swept key into it.")
        _check_replaces(expanded(cfg.path), checkpoint)
    from amask_solo.checkpoints.export import export_backbone, format_of
    from amask_solo.checkpoints.read import read

    if cfg.arch is not None and is_timm(cfg.arch):
        check_timm(cfg.arch)
    found = read(checkpoint)
    chosen = format_of(found, cfg.arch) if cfg.format == "auto" else cfg.format
    path = expanded(cfg.path) if cfg.path else _beside(checkpoint, chosen, cfg.which)
    options = {key: cfg[key] for key in ("arch", "which", "image_size")}
    result = export_backbone(found, path, format=chosen, **options)
    known = result.metadata
    origin = ", ".join(f"{name} {known[name]}" for name in ("method", "epochs") if name in known)
    console = Console(markup=False, highlight=False, soft_wrap=True)
    console.print(f"Wrote {result.tensors} tensors of {known['arch']} to {result.path}")
    if origin:
        console.print(f"  from  {origin}")
    console.print(f"Load it:\n\n{result.code}")


def _check_replaces(path: Path, checkpoint: Path) -> None:
    """Raise a ``UserError`` if an export to a path, or its metadata beside it, would replace what it must not."""
    said, folder = path.with_suffix(".json"), path.absolute().parent
    reason = None
    if path.suffix.lower() == ".json":
        reason = "a description of the tensors is written to the .json beside them"
    elif checkpoint.resolve() in (path.resolve(), said.resolve()):
        reason = f"that would replace {checkpoint}, the checkpoint that is exported"
    elif folder.name == CHECKPOINTS and (folder.parent / CONFIG).is_file():
        reason = f"{folder} is where the run keeps its checkpoints"
    elif (folder / CONFIG).is_file() and (taken := [file.name for file in (path, said) if file.name in WRITTEN]):
        reason = f"{taken[0]} is a file of the run in {folder}"
    elif (there := [str(file) for file in (path, said) if file.exists()]) and not _describes_tensors(said):
        reason = f"{' and '.join(there)}, already there, would be replaced and is no export"
    if reason:
        raise UserError(f"Cannot write the backbone to path={path}: {reason}. Give path=... another name.")


def _describes_tensors(file: Path) -> bool:
    with suppress(UserError):
        return describes_export(read_object(file, then=""))
    return False


def _beside(checkpoint: Path, target: str, which: str) -> Path:
    # Exports go to the top of a run folder, like its other results.
    folder = checkpoint.parent.parent if checkpoint.parent.name == CHECKPOINTS else checkpoint.parent
    name = "backbone" if checkpoint.parent.name == CHECKPOINTS else f"{checkpoint.stem}_backbone"
    return folder / f"{name}{'_teacher' * (which == 'teacher')}_{target}{SUFFIX[target]}"


if __name__ == "__main__":
    main()
