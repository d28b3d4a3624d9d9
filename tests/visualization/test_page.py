import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from amask_solo.visualization.page import PICTURES, write_page

TEXT = "# A <report>\n\n| a | b |\n| --- | --- |\n| 1 | 2 |\n\n![Curves](curves.png)\n\n[sliders]\n\n## Last\n"


def picture(path: Path, size: int = 1600) -> Path:
    noise = np.random.default_rng(0).integers(256, size=(size // 8, size // 8, 3), dtype=np.uint8)
    Image.fromarray(noise).resize((size, size), Image.Resampling.NEAREST).save(path)
    return path


def page(folder: Path, *, epochs: int, arms: int = 1) -> Path:
    picture(folder / "curves.png", 400)
    panels = [picture(folder / f"epoch_{n:04d}.png") for n in range(epochs)]
    write_page(folder / "report.html", TEXT, sliders={f"arm <{n}>": panels for n in range(arms)})
    return folder / "report.html"


def test_a_page_holds_all_that_it_shows(tmp_path):
    text = page(tmp_path, epochs=3).read_text()
    sources = re.findall(r'(?:src|href)="([^"]*)', text)
    assert len(sources) == 1 + 3
    assert all(source.startswith("data:image/") for source in sources)
    assert "<td>1</td>" in text
    assert text.index("epoch 2") < text.index("Last")
    assert "arm &lt;0&gt;" in text


def test_of_many_pictures_some_are_shown_and_the_page_stays_small(tmp_path):
    path = page(tmp_path, epochs=20, arms=6)
    labels = re.findall(r'alt="(epoch \d+)"', path.read_text())
    assert len(labels) == PICTURES
    assert {"epoch 0", "epoch 19"} <= set(labels)
    assert path.stat().st_size < 5 << 20


def test_a_slider_goes_through_the_epochs_in_a_browser(tmp_path):
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("There is no Chromium here.")
    move = "const s = document.querySelector('input'); s.value = 1; s.dispatchEvent(new Event('input'))"
    path = page(tmp_path, epochs=3)
    path.write_text(path.read_text().replace("</body>", f"<script>{move}</script></body>"))
    command = [browser, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}"]
    command += ["--dump-dom", path.as_uri()]
    said = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout
    assert "<output>epoch 1</output>" in said
    assert re.findall(r'alt="(epoch \d)" class="shown"', said) == ["epoch 1"]
