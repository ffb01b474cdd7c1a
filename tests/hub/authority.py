"""A certificate authority of the tests' own, and a certificate of it for this machine."""

from certipy import Certipy


class Authority:
    def __init__(self, folder):
        folder.mkdir(mode=0o700)
        maker = Certipy(store_dir=str(folder))
        maker.create_ca("tests")
        made = maker.create_signed_pair("hub", "tests", alt_names=["IP:127.0.0.1", "DNS:localhost"])
        self.file = maker.store.get_record("tests")["files"]["cert"]
        self.certificate, self.key = made["files"]["cert"], made["files"]["key"]
