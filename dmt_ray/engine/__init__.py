"""What the operations do: training, labelling, scoring; folders in, a folder out."""
