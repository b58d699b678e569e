"""wrk with a real photograph as body: GET and POST in turn over kept connections, bounded in time."""

from __future__ import annotations

import base64
import json
import shutil
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

CONNECTIONS = 8
LONGEST_S = 400
TIMEOUT_S = 40

SCRIPT = """
local turn = 0
local file = assert(io.open("BODY", "rb")); local body = file:read("*a"); file:close()
local headers = {["Authorization"] = "Bearer KEY", ["Content-Type"] = "application/json"}
request = function()
  turn = turn + 1
  if turn % 2 == 0 then return wrk.format("POST", "/v1/detect", headers, body) end
  return wrk.format("GET", "/v1/subjects/SUBJECT", headers)
end
done = function(summary, latency)
  local e = summary.errors
  local counts = string.format('"non_2xx":%d,"connect":%d,"read":%d,"write":%d,"timeout":%d',
    e.status, e.connect, e.read, e.write, e.timeout)
  io.write(string.format('RESULT {"requests":%d,"seconds":%.3f,"p99_ms":%.1f,%s}\\n',
    summary.requests, summary.duration / 1e6, latency:percentile(99) / 1000, counts))
end
"""


@dataclass(frozen=True)
class Result:
    requests: int
    seconds: float
    non_2xx: int
    connect: int
    read: int
    write: int
    timeout: int
    p99_ms: float

    @property
    def socket_errors(self) -> int:
        return self.connect + self.read + self.write + self.timeout


class Wrk:
    """Runs from `with` on; `stop` ends it and says what it saw."""

    def __init__(self, url: str, *, folder: Path, key: str, subject_id: str, photograph: bytes) -> None:
        body = folder / "body.json"
        body.write_text(json.dumps({"image": base64.b64encode(photograph).decode()}))
        script = folder / "load.lua"
        script.write_text(SCRIPT.replace("BODY", str(body)).replace("KEY", key).replace("SUBJECT", subject_id))
        self._command = [
            shutil.which("wrk") or "wrk", "-t2", f"-c{CONNECTIONS}", f"-d{LONGEST_S}s", f"--timeout={TIMEOUT_S}s",
            "-s", str(script), url,
        ]  # fmt: skip
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(self._command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        return self

    def stop(self) -> Result:
        process = self._process
        assert process is not None
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=TIMEOUT_S + 20)
        line = next((line for line in out.splitlines() if line.startswith("RESULT ")), None)
        assert line is not None, f"wrk ended with {process.returncode}:\n{out}\n{err}"
        return Result(**json.loads(line.removeprefix("RESULT ")))

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()
