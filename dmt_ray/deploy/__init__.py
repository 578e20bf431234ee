"""Trained models outside of this project: a folder that other libraries read, graphs, and pixels in, classes out."""
