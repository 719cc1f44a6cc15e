"""Take the pictures in docs/images of the Dagster UI while `make up` is running.

    python docs/take_screenshots.py

Needs Chromium or Chrome on the PATH, or named in $CHROMIUM.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from endpoints_pipeline.settings import load_settings

IMAGES = Path(__file__).parent / "images"
PAGES = {
    "dagster-assets.png": ("locations/endpoints_pipeline/asset-groups/project_1/list", "1500,900"),
    "dagster-asset.png": ("assets/endpoints/1/route-punctuality?view=events", "1500,1250"),
    "dagster-automation.png": ("automation", "1500,900"),
}
# without the background services, which fail one by one on a machine that reaches no other
FLAGS = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--hide-scrollbars"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    "--virtual-time-budget=25000",
]


def main() -> None:
    names = [os.environ.get("CHROMIUM", ""), "chromium", "chromium-browser", "google-chrome"]
    browser = next((found for name in names if name and (found := shutil.which(name))), None)
    if browser is None:
        sys.exit("There is no Chromium on the PATH: install it, or name it in $CHROMIUM.")
    base = load_settings().resolved_dagster_url
    IMAGES.mkdir(exist_ok=True)
    for file, (page, size) in PAGES.items():
        with tempfile.TemporaryDirectory() as profile:
            subprocess.run(  # noqa: S603 - our own arguments
                [browser, *FLAGS, f"--user-data-dir={profile}", f"--window-size={size}"]
                + [f"--screenshot={IMAGES / file}", f"{base}/{page}"],
                check=True,
                timeout=120,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
        print(IMAGES / file)


if __name__ == "__main__":
    main()
