"""What torch's users know: names, their meaning, and the tables that they are made from. See README.md of this
folder."""
