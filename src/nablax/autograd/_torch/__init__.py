"""What torch's users look for on top of tensors: modules, functions of them, files. Tables of names: _tensor/_torch."""
