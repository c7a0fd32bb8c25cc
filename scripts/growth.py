"""Part of `make faults`: simulate sixty nights and write docs/results/growth.md."""

import argparse
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from generation_world import item_cot  # noqa: E402 the simulation lives with the tests
from nights import CHANGED_SHARE, NEW_SHARE, Night, simulate_nights  # noqa: E402

REPORT = ROOT / "docs" / "results" / "growth.md"
_REPORT = """# Sixty nights

Written by `make faults`: do not edit it by hand. The bound is derived in
[exactly-once.md](../exactly-once.md#what-nightly-runs-leave-behind).

{num_items} items at first; every night {changed:.0%} of them change and {new:.1%} are new, the three stages
of item_cot follow (echo engine), and a release is published that stays for ever. Measured after each night:
text tables, answer cache, and the objects beside them.

| night | text rows | rows written | MB | bound, MB | files | bound |
|---:|---:|---:|---:|---:|---:|---:|"""


def render(nights: list[Night]) -> str:
    """The report."""
    first = nights[0].num_rows // 3
    lines = [_REPORT.format(num_items=first, changed=CHANGED_SHARE, new=NEW_SHARE)]
    for night in nights:
        sizes = f"{night.num_bytes / 1e6:.2f} | {night.most_bytes / 1e6:.2f}"
        files = f"{night.num_files} | {night.most_files}"
        lines.append(f"| {night.number} | {night.num_rows} | {night.num_written} | {sizes} | {files} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Simulate, write the report. Exit code 1 if the store grew over its bound."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=2000)
    parser.add_argument("--nights", type=int, default=60)
    options = parser.parse_args()
    nights: list[Night] = []
    with tempfile.TemporaryDirectory() as folder:
        simulation = simulate_nights(
            Path(folder), item_cot(), num_items=options.items, num_nights=options.nights
        )
        for night in simulation:
            nights.append(night)
            print(f"\rnight {night.number}: {night.num_bytes / 1e6:.1f} MB", end="", flush=True)
    REPORT.write_text(render(nights), "utf-8")
    print(f"\nwrote {REPORT}")
    is_over = any(n.num_bytes > n.most_bytes or n.num_files > n.most_files for n in nights)
    sys.exit(1 if is_over else 0)


if __name__ == "__main__":
    main()
