"""Trunkline itself as a process: `serve` with a configuration file, ready when every listener has said so."""

import re
import sys
from pathlib import Path
from typing import Any

import yaml

from tests.peers.process import Process

ROOT = Path(__file__).resolve().parents[2]


def write_config(directory: Path, config: dict[str, Any]) -> Path:
    """Writes `config` as a configuration file into `directory`; the API and the store are switched off unless named,
    and SIGTERM does not wait long for calls."""
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / "trunkline.yaml"
    whole = {"api": {"listen": ""}, "store": ":memory:"} | config
    whole["sip"] = {"drain_timeout": 1.0} | whole["sip"]  # a test that failed with a call up ends soon, too
    path.write_text(yaml.safe_dump(whole, sort_keys=False, allow_unicode=True))
    return path


def engine_environment(config: dict[str, Any]) -> dict[str, str]:
    """What an engine's environment has to say for the API and the store of its `config` to count: tests/conftest.py
    switches both off for every process of the test run, and that goes before a file."""
    return {
        "TRUNKLINE_API__LISTEN": config.get("api", {}).get("listen", ""),
        "TRUNKLINE_STORE": config.get("store", ":memory:"),
    }


class Engine:
    """One running engine. A context manager; leaving it ends the process with SIGTERM."""

    def __init__(self, process: Process) -> None:
        self.process = process

    @classmethod
    def start(cls, config_path: Path, *, timeout: float = 30.0) -> "Engine":
        """Starts `serve -c config_path` and returns when every listener of the file has its line."""
        config = yaml.safe_load(config_path.read_text())
        process = Process(
            [sys.executable, "-c", "from service.cli.commands import main; main()", "serve", "-c", str(config_path)],
            cwd=ROOT,
            env={"PYTHONUNBUFFERED": "1", "NO_COLOR": "1", "COLUMNS": "500"} | engine_environment(config),
        )
        try:
            for url in config["sip"]["listen"]:
                scheme, _, address = url.partition("://")
                process.wait_line(rf"(?i)\b{re.escape(scheme)}\b.*{re.escape(address)}", timeout)
        except BaseException:
            process.stop()
            raise
        return cls(process)

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def log(self) -> str:
        """All that it has printed so far."""
        return self.process.log

    def stop(self, timeout: float = 30.0) -> int:
        """SIGTERM, and what follows it: no call is left to drain in a test. Returns the exit code."""
        return self.process.stop(timeout)

    def __enter__(self) -> "Engine":
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
