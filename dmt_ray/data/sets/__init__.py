"""The data sets, one file each: settings, classes, what its files are and mean; `config.DATA_SETS` lists them."""
