"""The license check: packages made up here, and those that are installed."""

from __future__ import annotations

from importlib.metadata import Distribution
from pathlib import Path

import pytest

from tools.licenses import Table, check

TABLE = Table.load()
GPL = "GNU GENERAL PUBLIC LICENSE".center(80) + "\n" + "Version 3, 29 June 2007".center(80) + "\n"


def _install(folder: Path, metadata: str, files: dict[str, str]) -> Distribution:
    """Writes what an installed package has, and returns it."""
    info = folder / "made_up-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.4\nName: made-up\nVersion: 1.0\n{metadata}\n"
    )
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    (info / "RECORD").write_text("".join(f"{name},,\n" for name in files))
    return Distribution.at(info)


@pytest.mark.parametrize(
    ("metadata", "files", "message"),
    [
        ("License-Expression: MIT", {}, ""),
        ("License-Expression: GPL-2.0-only OR MIT", {}, ""),
        ("License: BSD 3-Clause\nClassifier: License :: OSI Approved :: BSD License", {}, ""),
        ("License: see LICENSE\nClassifier: License :: OSI Approved :: MIT License", {}, ""),
        ("License-Expression: AGPL-3.0-only", {}, "is under AGPL-3.0-only, which"),
        ("License-Expression: MIT AND GPL-3.0-only", {}, "is under MIT AND GPL-3.0-only, which"),
        (
            "Classifier: License :: OSI Approved :: GNU General Public License v3 (GPLv3)",
            {},
            "declares no license that is known; received ['GNU General Public License v3",
        ),
        ("", {}, "declares no license that is known; received []"),
        ("License-Expression: MIT", {"made_up/core.cpython-311-x86_64-linux-gnu.so": ""}, ""),
        (
            "License-Expression: MIT",
            {"made_up.libs/libx265-90fb0ce1.so.199": ""},
            "holds made_up.libs/libx265-90fb0ce1.so.199; look its license up",
        ),
        ("License-Expression: MIT", {"made_up/libgsl.dylib": ""}, "holds made_up/libgsl.dylib"),
        (
            "License-Expression: MIT",
            {"made_up-1.0.dist-info/licenses/NOTICE.txt": f"of a part:\n{GPL}"},
            "holds the text of a GNU license, made_up-1.0.dist-info/licenses/NOTICE.txt",
        ),
        (
            "License-Expression: MIT",
            {"made_up/LICENSE": "compatible with the GNU General Public License"},
            "",
        ),
    ],
)
def test_package_is_held_to_the_table(
    metadata: str, files: dict[str, str], message: str, tmp_path: Path
) -> None:
    problems = list(check(_install(tmp_path, metadata, files), TABLE))
    assert len(problems) == bool(message)
    assert all(f"made-up 1.0 {message}" in problem for problem in problems)


def test_library_that_is_in_the_table_of_its_package_alone_is_allowed(tmp_path: Path) -> None:
    package = _install(tmp_path, "License-Expression: MIT", {"numpy.libs/libgfortran-0.so.5": ""})
    assert list(check(package, TABLE)), "of another package"
    (tmp_path / "made_up-1.0.dist-info" / "METADATA").write_text(
        "Metadata-Version: 2.4\nName: numpy\nVersion: 1.0\nLicense-Expression: MIT\n"
    )
    assert not list(check(Distribution.at(tmp_path / "made_up-1.0.dist-info"), TABLE))
