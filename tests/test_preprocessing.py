import pytest
from filelock import FileLock

import preprocessing


def test_a_second_run_at_the_same_time_is_refused(five_posters):
    with (
        FileLock(five_posters / "store.lock"),
        pytest.raises(SystemExit, match="Another run is writing .*store"),
    ):
        preprocessing.main(five_posters, image_height=15, image_width=10, workers=1)


def test_the_error_for_missing_samples_names_the_command(tmp_path):
    with pytest.raises(SystemExit, match="samples.csv is missing. Run: python sampling.py"):
        preprocessing.main(tmp_path)


@pytest.mark.parametrize("setting", [{"image_height": 0}, {"image_width": -1}, {"workers": 0}])
def test_bad_settings_are_refused(tmp_path, setting):
    with pytest.raises(ValueError, match=str(next(iter(setting.values())))):
        preprocessing.main(tmp_path, **setting)


def test_samples_that_change_during_the_run_leave_no_finished_store(five_posters, monkeypatch):
    samples = five_posters / "samples.csv"
    text = samples.read_text()

    class ChangingBuilder(preprocessing.StoreBuilder):
        def decode_posters(self, *arguments):
            samples.write_text(text.replace("Comedy", "Romance"))
            return super().decode_posters(*arguments)

    monkeypatch.setattr(preprocessing, "StoreBuilder", ChangingBuilder)
    message = "samples.csv was changed during this run. Run: python preprocessing.py"
    with pytest.raises(SystemExit, match=message):
        preprocessing.main(five_posters, 30, 20, workers=1)
    assert (five_posters / "store" / "unfinished.jsonl").is_file()


def test_ctrl_c_prints_how_to_resume(five_posters, monkeypatch, capsys):
    def interrupt(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(preprocessing.StoreBuilder, "decode_posters", interrupt)
    with pytest.raises(SystemExit) as end:
        preprocessing.main(five_posters, 30, 20)
    assert end.value.code == 130
    assert capsys.readouterr().err == "Stopped. To resume, run: python preprocessing.py\n"
