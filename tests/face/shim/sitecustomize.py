"""`import optax` gives nablax.optax, in every process whose PYTHONPATH has this folder and nablax."""

import importlib.abc
import importlib.util
import sys


class Face(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Waits for the first import below `optax`, then puts nablax's modules in the places of all of Optax's."""

    def find_spec(self, fullname, path=None, target=None):
        if fullname.partition(".")[0] == "optax":
            return importlib.util.spec_from_loader(fullname, self, is_package=True)
        return None

    def create_module(self, spec):
        face = importlib.import_module(f"nablax.{spec.name}")
        for name, module in list(sys.modules.items()):
            if name.startswith("nablax.optax"):
                sys.modules[name.removeprefix("nablax.")] = module
        self.own_spec = face.__spec__
        return face

    def exec_module(self, module):
        module.__spec__ = self.own_spec


sys.meta_path.insert(0, Face())
