import json
import os

from amask_solo.comparison.plan import Run, progress

PROTOCOLS = {"knn": {"k": 20}}


def made(folder, *, begun, scored=None):
    folder.mkdir()
    (folder / "config.yaml").write_text("")
    os.utime(folder / "config.yaml", (begun, begun))
    if scored is not None:
        (folder / "summary.json").write_text('{"status": "finished"}')
        results = [{"protocol": "knn", "settings": {"k": 20}}]
        (folder / "comparison.json").write_text(json.dumps({"results": results}))
        os.utime(folder / "comparison.json", (scored, scored))


def test_what_is_left_is_judged_by_what_finished_runs_took_and_how_many_are_made_at_a_time(tmp_path):
    plan = [Run("byol", "stock", seed, tmp_path / str(seed), ()) for seed in range(8)]
    assert progress(plan, PROTOCOLS) == "0 of 8 runs done"
    made(plan[0].folder, begun=1000)
    assert progress(plan, PROTOCOLS) == "0 of 8 runs done"
    made(plan[1].folder, begun=1000, scored=1300)
    made(plan[2].folder, begun=2000, scored=2300)
    assert progress(plan, PROTOCOLS) == "2 of 8 runs done, about 30 min left"
    made(plan[3].folder, begun=2000)
    assert progress(plan, PROTOCOLS) == "2 of 8 runs done, about 15 min left"
    assert progress(plan, {"linear": {}}) == "0 of 8 runs done"
    assert progress(plan[1:3], PROTOCOLS) == "2 of 2 runs done"


def test_nothing_is_said_of_the_time_that_is_left_where_earlier_runs_do_not_tell_theirs(tmp_path):
    plan = [Run("byol", "stock", seed, tmp_path / str(seed), ()) for seed in range(3)]
    made(plan[0].folder, begun=1000, scored=1000)
    assert progress(plan, PROTOCOLS) == "1 of 3 runs done"
    made(plan[1].folder, begun=1000, scored=1010)
    (plan[1].folder / "summary.json").write_text('{"status": "finished", "seconds": 60}')
    assert progress(plan, PROTOCOLS) == "2 of 3 runs done"
