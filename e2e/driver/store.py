"""A store in the protocol of S3 for journeys: moto keeps the objects, botocore says whether a request is signed as it must be.

Arguments: the bucket, the id of an access key, the key. Prints the port that it listens on. Requests below /-/ are the journey's own:
/-/fail answers every part of an upload with 500 from then on, /-/heal none any more, /-/begin?NAME begins an upload and leaves it,
/-/leave?NAME puts an object that is eight days old, and each of them, /-/list too, names what there is.
"""

import json
import sys
from datetime import timedelta
from urllib.parse import parse_qsl, urlencode

from botocore.auth import S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from moto.backends import get_backend
from moto.core import DEFAULT_ACCOUNT_ID
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server

bucket, key_id, key = sys.argv[1:4]
state = {"fails": False}
store = get_backend("s3")[DEFAULT_ACCOUNT_ID]["aws"]


def refusal(start, status, code):
    start(status, [("Content-Type", "application/xml")])
    return [f"<Error><Code>{code}</Code><Message>no</Message></Error>".encode()]


def signature(environ, query):
    """What a request of this id, time and region is to be signed with."""
    own = {name: value for name, value in query if not name.startswith("X-Amz-")}
    meant = dict(query)
    region = meant["X-Amz-Credential"].split("/")[2]
    url = f"http://{environ['HTTP_HOST']}{environ['RAW_URI'].split('?')[0]}"
    request = AWSRequest(environ["REQUEST_METHOD"], f"{url}?{urlencode(own)}", {"host": environ["HTTP_HOST"]})
    request.context["timestamp"] = meant["X-Amz-Date"]
    auth = S3SigV4QueryAuth(Credentials(key_id, key), "s3", region, int(meant["X-Amz-Expires"]))
    auth._modify_request_before_signing(request)
    return auth.signature(auth.string_to_sign(request, auth.canonical_request(request)), request)


def named():
    kept = store.buckets[bucket]
    uploads = [upload.key_name for upload in kept.multiparts.values()]
    return {"objects": sorted(kept.keys.keys()), "uploads": uploads}


class Checked:
    def __init__(self, app):
        self.app = app

    def __call__(self, environ, start):
        path = environ["PATH_INFO"]
        if path.startswith("/-/"):
            state["fails"] = path == "/-/fail" or (state["fails"] and path != "/-/heal")
            name = environ["QUERY_STRING"]
            if path == "/-/begin":
                store.create_multipart_upload(bucket, name, {}, "STANDARD", {}, None, None, None)
            if path == "/-/leave":
                store.put_object(bucket, name, b"left").last_modified -= timedelta(days=8)
            start("200 OK", [("Content-Type", "application/json")])
            return [json.dumps(named()).encode()]
        query = parse_qsl(environ["QUERY_STRING"], keep_blank_values=True)
        meant = dict(query)
        if not meant.get("X-Amz-Credential", "").startswith(key_id + "/"):
            return refusal(start, "403 Forbidden", "InvalidAccessKeyId")
        if meant.get("X-Amz-Signature") != signature(environ, query):
            return refusal(start, "403 Forbidden", "SignatureDoesNotMatch")
        if state["fails"] and "partNumber" in meant:
            return refusal(start, "500 Internal Server Error", "InternalError")
        return self.app(environ, start)


class Quiet(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"

    def log(self, *_):
        pass


server = make_server("127.0.0.1", 0, Checked(DomainDispatcherApplication(create_backend_app)), True, request_handler=Quiet)
store.create_bucket(bucket, "us-east-1")
print(server.server_port, flush=True)
server.serve_forever()
