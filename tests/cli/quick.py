"""``vex`` as a process of its own, with passphrases that cost nothing to try: ``python quick.py push``."""

import sys

from blake3 import blake3

from vexrepo.cli import main
from vexrepo.remotes.hosts import slots

slots.stretch = lambda passphrase, salt, cost: blake3(salt + passphrase.encode()).digest()
sys.exit(main())
