#!/usr/bin/env python3
"""Makes the key sets and tokens beside this file, with a library that is not ours (PyJWT on pyca/cryptography).

Run once; what it wrote is committed, private keys are not kept. Every token runs out in 2100. Each of tokens.json names
the answer a node must give that trusts jwks.json (or after the change, jwks_rotated.json) and is asked to play `demo`.
"""

import base64
import hashlib
import hmac
import json
import pathlib

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

HERE = pathlib.Path(__file__).parent
CLAIMS = {"action": "play", "stream": "demo", "exp": 4102444800, "sub": "vector"}


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def jwk(algorithm, key, kid):
    public = jwt.algorithms.get_default_algorithms()[algorithm].to_jwk(key.public_key(), as_dict=True)
    public.pop("key_ops", None)
    return {**public, "kid": kid, "alg": algorithm, "use": "sig"}


def by_hand(header, claims, sign):
    """A token no honest library makes."""
    message = b64(json.dumps(header).encode()) + "." + b64(json.dumps(claims).encode())
    return message + "." + b64(sign(message.encode()))


def made(key, algorithm, kid, claims=CLAIMS, **headers):
    return jwt.encode(claims, key, algorithm=algorithm, headers={"kid": kid, **headers} if kid else headers)


keys = {
    "RS256": rsa.generate_private_key(public_exponent=65537, key_size=2048),
    "ES256": ec.generate_private_key(ec.SECP256R1()),
    "EdDSA": ed25519.Ed25519PrivateKey.generate(),
}
others = {
    "RS256": rsa.generate_private_key(public_exponent=65537, key_size=2048),
    "ES256": ec.generate_private_key(ec.SECP256R1()),
    "EdDSA": ed25519.Ed25519PrivateKey.generate(),
}
short = rsa.generate_private_key(public_exponent=65537, key_size=1024)
p384 = ec.generate_private_key(ec.SECP384R1())
newer = ed25519.Ed25519PrivateKey.generate()

published = [jwk(algorithm, key, f"{algorithm}-1") for algorithm, key in keys.items()]
published.append(jwk("RS256", short, "short-1"))
published.append(jwk("ES384", p384, "p384-1"))
published.append({"kty": "oct", "k": b64(b"0" * 32), "kid": "oct-1", "alg": "HS256"})
(HERE / "jwks.json").write_text(json.dumps({"keys": published}, indent=1) + "\n")
(HERE / "jwks_rotated.json").write_text(json.dumps({"keys": [jwk("EdDSA", newer, "EdDSA-2")]}, indent=1) + "\n")

tokens = []


def vector(name, token, answer):
    tokens.append({"name": name, "token": token, "answer": answer})


for algorithm, key in keys.items():
    kid = f"{algorithm}-1"
    good = made(key, algorithm, kid)
    head, body, signature = good.split(".")
    vector(f"{algorithm}", good, "ok")
    vector(f"{algorithm} without a key id", made(key, algorithm, None), "ok")
    vector(f"{algorithm} by another key of the same id", made(others[algorithm], algorithm, kid), "token_wrong_key")
    vector(f"{algorithm} by another key without an id", made(others[algorithm], algorithm, None), "token_wrong_key")
    vector(f"{algorithm} with an id nobody knows", made(key, algorithm, "nobody"), "token_wrong_key")
    vector(f"{algorithm} with a changed claim",
           ".".join([head, b64(json.dumps({**CLAIMS, "stream": "*"}).encode()), signature]), "token_wrong_key")
    vector(f"{algorithm} with an empty signature", f"{head}.{body}.", "token_wrong_key")
    vector(f"{algorithm} with the key of the attacker in its header",
           made(others[algorithm], algorithm, None, jwk=jwk(algorithm, others[algorithm], "x")), "token_wrong_key")
    vector(f"{algorithm} with a critical extension", made(key, algorithm, kid, crit=["x"], x=1), "token_malformed")
    vector(f"{algorithm} that ran out", made(key, algorithm, kid, {**CLAIMS, "exp": 1000000000}), "token_expired")
    vector(f"{algorithm} of 2099", made(key, algorithm, kid, {**CLAIMS, "nbf": 4070908800}), "token_not_yet_valid")

for name in ("none", "None", "NONE", "nOnE"):
    token = by_hand({"alg": name, "typ": "JWT"}, CLAIMS, lambda message: b"")
    vector(f"alg {name}", token, "token_malformed")

public = keys["RS256"].public_key()
numbers = public.public_numbers()
spki = (serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
pem = (serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
for name, secret in {
    "PEM": public.public_bytes(*pem),
    "PEM without its last line end": public.public_bytes(*pem).rstrip(b"\n"),
    "DER": public.public_bytes(*spki),
    "PKCS #1": public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.PKCS1),
    "modulus": numbers.n.to_bytes(256, "big"),
}.items():
    for kid in ("RS256-1", None):
        header = {"alg": "HS256", "typ": "JWT", **({"kid": kid} if kid else {})}
        token = by_hand(header, CLAIMS, lambda message: hmac.new(secret, message, hashlib.sha256).digest())
        vector(f"HS256 with the RSA public key ({name}) as the secret, key id {kid}", token, "token_wrong_key")
point = keys["ES256"].public_key().public_bytes(
    serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint)
vector("HS256 with the P-256 point as the secret",
       by_hand({"alg": "HS256", "kid": "ES256-1"}, CLAIMS, lambda m: hmac.new(point, m, hashlib.sha256).digest()),
       "token_wrong_key")
vector("HS256 with a symmetric key that was published",
       by_hand({"alg": "HS256", "kid": "oct-1"}, CLAIMS, lambda m: hmac.new(b"0" * 32, m, hashlib.sha256).digest()),
       "token_wrong_key")
vector("ES256 with a signature of zeros (CVE-2022-21449)",
       by_hand({"alg": "ES256", "kid": "ES256-1"}, CLAIMS, lambda m: bytes(64)), "token_wrong_key")
vector("RS384 by the RSA key", made(keys["RS256"], "RS384", "RS256-1"), "token_wrong_key")
vector("PS256 by the RSA key", made(keys["RS256"], "PS256", "RS256-1"), "token_wrong_key")
vector("RS256 by a key of 1,024 bits", made(short, "RS256", "short-1"), "token_wrong_key")
vector("ES384", made(p384, "ES384", "p384-1"), "token_wrong_key")
vector("by the newer key", made(newer, "EdDSA", "EdDSA-2"), "rotated")

(HERE / "tokens.json").write_text(json.dumps(tokens, indent=1) + "\n")
