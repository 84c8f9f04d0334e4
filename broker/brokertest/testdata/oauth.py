"""Two OAuth clients as they come: authlib's session, and requests alone. They discover, get a token by each
grant and in each way to say who they are, verify what they got with joserfc, and print what stands in it.

    oauth.py authlib|requests TASK.json
"""

import base64
import hashlib
import json
import sys
import time

import requests
from authlib.integrations.base_client import OAuthError
from authlib.integrations.requests_client import OAuth2Session
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from joserfc import jwt
from joserfc.jwk import KeySet

EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"
JWT_SPIFFE = "urn:ietf:params:oauth:client-assertion-type:jwt-spiffe"


class Refused(Exception):
    pass


class Authlib:
    """The library's session; the certificate is requests' business, and the rest is the library's."""

    well_known = "/.well-known/openid-configuration"

    def __init__(self, task, client):
        self.session = OAuth2Session(client["id"], token_endpoint_auth_method="none", revocation_endpoint_auth_method="none")
        self.session.verify = task["ca"]
        if "cert" in client:
            self.session.cert = (client["cert"], client["key"])

    def get(self, url):
        return self.session.get(url, withhold_token=True)

    def token(self, url, grant, **form):
        try:
            return self.session.fetch_token(url, grant_type=grant, **form)
        except OAuthError as e:
            raise Refused(e.error)

    def introspect(self, url, token):
        return self.session.introspect_token(url, token=token).json()

    def revoke(self, url, token):
        self.session.revoke_token(url, token=token).raise_for_status()


class Requests:
    """No library of OAuth at all: forms, and a certificate."""

    well_known = "/.well-known/oauth-authorization-server"

    def __init__(self, task, client):
        self.session = requests.Session()
        self.session.verify = task["ca"]
        if "cert" in client:
            self.session.cert = (client["cert"], client["key"])

    def get(self, url):
        return self.session.get(url)

    def token(self, url, grant, **form):
        answer = self.session.post(url, data={"grant_type": grant, **form})
        if not answer.ok:
            raise Refused(answer.json()["error"])
        return answer.json()

    def introspect(self, url, token):
        return self.session.post(url, data={"token": token}).json()

    def revoke(self, url, token):
        self.session.post(url, data={"token": token}).raise_for_status()


def thumbprint(file):
    """RFC 8705, section 3.1."""
    with open(file, "rb") as f:
        der = x509.load_pem_x509_certificate(f.read()).public_bytes(Encoding.DER)
    return base64.urlsafe_b64encode(hashlib.sha256(der).digest()).rstrip(b"=").decode()


def run(library, task):
    orders, inventory = library(task, task["orders"]), library(task, task["inventory"])
    bare = library(task, {"id": task["orders"]["id"]})  # without a certificate
    metadata = orders.get(task["issuer"] + library.well_known).json()
    assert metadata["issuer"] == task["issuer"], metadata
    keys = KeySet.import_key_set(orders.get(metadata["jwks_uri"]).json())
    at = metadata["token_endpoint"]

    def verified(answer, audience):
        token = jwt.decode(answer["access_token"], keys, algorithms=metadata["id_token_signing_alg_values_supported"])
        rules = jwt.JWTClaimsRegistry(
            now=int(time.time()), leeway=0, exp={"essential": True},
            iss={"essential": True, "value": task["issuer"]}, aud={"essential": True, "value": audience},
        )
        rules.validate(token.claims)
        assert token.header["typ"] == "at+jwt", token.header
        return token.claims

    held = orders.token(at, "client_credentials", audience="inventory", scope="read")
    own = verified(held, "inventory")
    assert own["cnf"]["x5t#S256"] == thumbprint(task["orders"]["cert"]), own
    subject = {"subject_token": held["access_token"], "subject_token_type": ACCESS_TOKEN}
    traded = verified(inventory.token(at, EXCHANGE, audience="ledger", **subject), "ledger")
    assertion = {"client_assertion_type": JWT_SPIFFE, "client_assertion": task["orders"]["jwt_svid"]}
    asserted = verified(bare.token(at, "client_credentials", audience="ledger", **assertion), "ledger")
    try:
        inventory.token(at, EXCHANGE, audience="nowhere", **subject)
        refused = ""
    except Refused as e:
        refused = str(e)
    looked = [inventory.introspect(metadata["introspection_endpoint"], held["access_token"])["active"]]
    orders.revoke(metadata["revocation_endpoint"], held["access_token"])
    looked.append(inventory.introspect(metadata["introspection_endpoint"], held["access_token"])["active"])
    return {"client_credentials": own, "exchange": traded, "assertion": asserted, "refused": refused, "active": looked}


if __name__ == "__main__":
    with open(sys.argv[2]) as f:
        print(json.dumps(run({"authlib": Authlib, "requests": Requests}[sys.argv[1]], json.load(f))))
