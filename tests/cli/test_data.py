"""`dmt data check`."""


def test_crops_that_no_image_fills_are_named_before_any_training(dmt, settings, pictures, tmp_path):
    """The pictures are of 32 x 32 pixels, resized by at most 1.5."""
    words = ("data", "check", "--recipe", settings, "--data", pictures, "--storage", tmp_path / "runs")
    assert "crops are" not in dmt(*words)
    said = dmt(*words, "--set", "crop=64", "--set", "oracle.augment.crop=128").splitlines()
    assert [line.partition(" pixels, ")[0] for line in said if "crops are" in line] == [
        "warning: crops are 64 x 64",
        "warning: crops are 128 x 128",
    ]
