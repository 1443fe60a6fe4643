"""torch.nn.functional as tables of rows, one file a theme: arrays in, arrays out."""
