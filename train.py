"""Train, evaluate and publish the breast-ultrasound segmentation networks: see `--help`."""

from __future__ import annotations

import sys

from unet.cli import main

if __name__ == "__main__":
    sys.exit(main())
