"""Chromium without a window, driven over a pipe: what a test needs of the DevTools protocol."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
from pathlib import Path

NAMES = 'chromium', 'chromium-browser', 'google-chrome'


def find_chromium() -> str | None:
    return next(filter(None, map(shutil.which, NAMES)), None)


class Chromium:
    """One page of a browser.

    It reads commands from descriptor 3 and writes replies to 4, JSON ended by NUL.
    """

    def __init__(self, profile: Path):
        to_browser, self._commands = os.pipe()
        self._replies, from_browser = os.pipe()
        command = [find_chromium(), '--headless', '--no-sandbox', '--window-size=1400,1000']
        # WebGL 2 without a graphics card.
        command += ['--use-angle=swiftshader', '--enable-unsafe-swiftshader']
        command += [f'--user-data-dir={profile}', '--remote-debugging-pipe', 'about:blank']
        # The shell puts the two pipes where the browser looks for them.
        redirect = f'exec "$@" 3<&{to_browser} 4>&{from_browser}'
        self._process = subprocess.Popen(
            ['bash', '-c', redirect, 'chromium', *command],
            pass_fds=(to_browser, from_browser),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(to_browser)
        os.close(from_browser)
        self._reader = os.fdopen(self._replies, 'rb')
        self._number = 0
        self._session = None
        self.requests: list[str] = []
        attached = self.call('Target.attachToTarget', targetId=self._page(), flatten=True)
        self._session = attached['sessionId']
        self.call('Page.enable')
        self.call('Network.enable')
        self.call('Emulation.setFocusEmulationEnabled', enabled=True)

    def _page(self) -> str:
        """The page among the targets, which may have parts of the browser's own window as well."""
        while True:
            for target in self.call('Target.getTargets')['targetInfos']:
                if target['type'] == 'page':
                    return target['targetId']

    def call(self, method: str, **params):
        """Call a method and return its result; what happens meanwhile is read past."""
        self._number += 1
        message = dict(id=self._number, method=method, params=params)
        if self._session:
            message['sessionId'] = self._session
        os.write(self._commands, json.dumps(message).encode() + b'\0')
        while True:
            reply = self._read()
            if reply.get('id') == self._number:
                assert 'error' not in reply, reply['error']
                return reply['result']

    def open(self, url: str) -> None:
        """Load a page and wait until it is loaded."""
        self.call('Page.navigate', url='about:blank')
        self.requests.clear()
        self.call('Page.navigate', url=url)
        while self.run('document.readyState + location.protocol') != 'completefile:':
            pass

    def run(self, expression: str):
        """Return the value of a JavaScript expression."""
        result = self.call('Runtime.evaluate', expression=expression, returnByValue=True)
        assert 'exceptionDetails' not in result, result['exceptionDetails']
        return result['result'].get('value')

    def press(self, key: str) -> None:
        """Press a key, such as ArrowRight or Escape."""
        number = {'ArrowRight': 39, 'ArrowLeft': 37, 'ArrowUp': 38, 'ArrowDown': 40, 'Escape': 27}[
            key
        ]
        for kind in 'rawKeyDown', 'keyUp':
            names = dict(type=kind, key=key, code=key, windowsVirtualKeyCode=number)
            self.call('Input.dispatchKeyEvent', **names)

    def screenshot(self, path: Path) -> None:
        picture = self.call('Page.captureScreenshot')['data']
        path.write_bytes(base64.b64decode(picture))

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        self._reader.close()
        os.close(self._commands)

    def _read(self) -> dict:
        data = bytearray()
        while (byte := self._reader.read(1)) != b'\0':
            assert byte, 'Chromium has ended'
            data += byte
        message = json.loads(data)
        if message.get('method') == 'Network.requestWillBeSent':
            self.requests.append(message['params']['request']['url'])
        return message
