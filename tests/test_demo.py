"""`make run` plays its conversation to the end and leaves nothing behind."""

import glob
import subprocess


def test_the_demonstration_runs():
    played = subprocess.run(["python3", "/tests/demo.py", "--once", "/usr/bin/spectrum2"],
                            capture_output=True, text=True, timeout=100)
    assert (played.returncode, played.stderr) == (0, "")
    assert "nurse (IRC)  → romeo (XMPP)  Ay, a thousand times." in played.stdout
    assert glob.glob("/tmp/spectrum2-run-*") + glob.glob("/var/lib/spectrum2*/*localhost*") == []
