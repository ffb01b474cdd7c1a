"""Writes what Python's TimedRotatingFileHandler does: after each record, which files there are and what is in them.

    python3 tests/rotation/table.py > tests/rotation/table.json

The clock is ours: time.time is replaced, and the live file gets its date from it after each record, as it would.
"""

import calendar
import json
import logging
import logging.handlers
import os
import sys
import tempfile
import time

HOUR = 3600
DAY = 24 * HOUR

# name, zone, when, backups, first time (UTC), seconds to the next record (a text: the process starts again first).
CASES = [
    ("every second", "UTC", "s", 3, "2026-11-20 10:00:00", [0, 1, 1, 2, 0, 1, 5, 1, 1]),
    ("every minute", "UTC", "M", 2, "2026-11-20 10:00:30", [10, 20, 30, 1, 59, 61, 200, 60, 60]),
    ("every hour", "Europe/Berlin", "h", 4, "2026-11-20 10:20:00", [60, HOUR, HOUR - 1, 1, 5 * HOUR, HOUR, HOUR, HOUR]),
    ("every day", "America/New_York", "d", 2, "2026-11-20 03:00:00", [HOUR, DAY, DAY - HOUR, HOUR, 3 * DAY, DAY, DAY]),
    ("at midnight", "Europe/Berlin", "midnight", 3, "2026-11-20 21:00:00", [HOUR, HOUR - 1, 1, DAY, DAY - 1, 1, 2 * DAY, DAY]),
    ("at midnight, all kept", "UTC", "MIDNIGHT", 0, "2026-11-20 21:00:00", [DAY, DAY, DAY, 4 * DAY, DAY]),
    ("into summer time", "Europe/Berlin", "midnight", 9, "2026-03-27 20:00:00", [DAY, 4 * HOUR, DAY, DAY, DAY]),
    ("into winter time", "Europe/Berlin", "midnight", 9, "2026-10-23 20:00:00", [DAY, 4 * HOUR, DAY, DAY, DAY]),
    ("hours into summer time", "Europe/Berlin", "h", 9, "2026-03-28 22:30:00", [HOUR] * 6),
    ("hours into winter time", "Europe/Berlin", "h", 9, "2026-10-24 22:30:00", [HOUR] * 6),
    ("days into winter time", "America/New_York", "d", 9, "2026-10-30 12:00:00", [DAY] * 5),
    *[
        (f"at the end of day {day}", "Europe/Berlin", f"w{day}", 3, "2026-11-18 09:00:00", [DAY] * 8 + [7 * DAY] * 4)
        for day in range(7)
    ],
    ("weeks into summer time", "Europe/Berlin", "w6", 3, "2026-03-16 09:00:00", [DAY] * 14),
    ("weeks into winter time", "Europe/Berlin", "w2", 3, "2026-10-12 09:00:00", [DAY] * 21),
    ("started again", "UTC", "midnight", 5, "2026-11-20 21:00:00", [HOUR, "7200", 10, "86400", "300000", DAY]),
    ("started again within the hour", "Europe/Berlin", "h", 5, "2026-11-20 21:00:00", [1800, "1700", 100, "1700", 1899, 1]),
]

# Beside the log in every case: what is removed and what stays.
BESIDE = ["k.log.old", "k.log.2020-01-01", "k.log.2020-01-01_10", "k.2020-01-01.log", "k.log.2020-01-02.gz", "kk.log.2020-01-01"]


class Clock:
    now = 0.0

    def time(self):
        return self.now


def files(folder):
    names = sorted(os.listdir(folder))
    return {name: open(os.path.join(folder, name)).read().split() for name in names}


def run(name, zone, when, backups, begin, steps):
    os.environ["TZ"] = zone
    time.tzset()
    clock = Clock()
    clock.now = calendar.timegm(time.strptime(begin, "%Y-%m-%d %H:%M:%S"))
    real, time.time = time.time, clock.time
    try:
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "k.log")
            for beside in BESIDE:
                open(os.path.join(folder, beside), "w").close()
            open(path, "w").close()

            def handler():
                os.utime(path, (clock.now, clock.now))
                return logging.handlers.TimedRotatingFileHandler(path, when=when, backupCount=backups)

            active, rows = handler(), []
            for number, step in enumerate(steps):
                started_again = isinstance(step, str)
                if started_again:
                    active.close()
                    # The file keeps the date of its last record.
                    active = logging.handlers.TimedRotatingFileHandler(path, when=when, backupCount=backups)
                clock.now += int(step)
                record = logging.LogRecord("K8sMgr", 20, "f", 1, f"r{number}", None, None)
                active.emit(record)
                active.flush()
                os.utime(path, (clock.now, clock.now))
                rows.append({"time": int(clock.now), "started_again": started_again, "files": files(folder)})
            active.close()
    finally:
        time.time = real
    return {"case": name, "zone": zone, "when": when, "backupCount": backups,
            "begin": calendar.timegm(time.strptime(begin, "%Y-%m-%d %H:%M:%S")), "beside": BESIDE, "rows": rows}


def main():
    table = [run(*case) for case in CASES]
    sys.stdout.write("[\n" + ",\n".join(json.dumps(case) for case in table) + "\n]\n")


if __name__ == "__main__":
    main()
