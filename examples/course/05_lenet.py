"""Chapter 5: convolutions. A small LeNet (LeCun et al. 1998) with batch norm and dropout.

python examples/course/05_lenet.py [--short]
"""

import tempfile
from pathlib import Path

from course_data import batches, digits, short
from nablax.autograd.nn import functional as F

import nablax
from nablax import autograd as torch
from nablax.autograd import nn

torch.manual_seed(0)
images, labels, test_images, test_labels = digits()


class LeNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 8, kernel_size=3, padding=1)
        self.norm = nn.BatchNorm2d(8)
        self.conv2 = nn.Conv2d(8, 16, kernel_size=3, padding=1)
        self.drop = nn.Dropout(0.3)
        self.fc1 = nn.Linear(16 * 2 * 2, 48)
        self.fc2 = nn.Linear(48, 10)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.norm(self.conv1(x))), 2)  # 8 x 4 x 4
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)  # 16 x 2 x 2
        x = self.drop(torch.flatten(x, 1))
        return self.fc2(F.relu(self.fc1(x)))


@torch.no_grad()
def accuracy(model):
    model.eval()
    right = (model(test_images).argmax(1) == test_labels).float().mean().item()
    model.train()
    return right


model = LeNet()
print(model)
print("parameters:", sum(p.numel() for p in model.parameters()))
criterion = nn.CrossEntropyLoss()
opt = nablax.Optimizer(nablax.adam(3e-3), list(model.parameters()))
draw = batches(len(images), 100)
for step in range(short(160, 20)):
    at = next(draw)
    loss = criterion(model(images[at]), labels[at])
    opt.zero_grad()
    loss.backward()
    opt.step()
    if step % 40 == 0:
        print(f"step {step:3d}  loss {loss.item():.3f}  {accuracy(model):.1%} right")

# What was learned goes into a file, and into another model.
with tempfile.TemporaryDirectory() as folder:
    torch.save(model.state_dict(), Path(folder) / "lenet.npz")
    other = LeNet()
    other.load_state_dict(torch.load(Path(folder) / "lenet.npz"))
same = accuracy(other) == accuracy(model)
print(f"digits never seen: {accuracy(model):.1%} right; the model from the file does the same: {same}")
