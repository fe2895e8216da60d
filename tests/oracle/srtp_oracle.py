"""libsrtp, driven over standard input and output: the foreign end of tests/parts/srtp_oracle.rs.

One command a line, one answer a line. Bytes are hexadecimal.

    new NAME PROFILE in|out KEY_AND_SALT     a session for packets of any SSRC in that direction
    protect|unprotect|protect_rtcp|unprotect_rtcp NAME PACKET

Answers are `ok [PACKET]` or `error TEXT`; libsrtp's refusals are answers, anything else ends the program.
"""

import sys

from pylibsrtp import Error, Policy, Session

PROFILES = {
    "AEAD_AES_128_GCM": Policy.SRTP_PROFILE_AEAD_AES_128_GCM,
    "AEAD_AES_256_GCM": Policy.SRTP_PROFILE_AEAD_AES_256_GCM,
    "AES128_CM_HMAC_SHA1_80": Policy.SRTP_PROFILE_AES128_CM_SHA1_80,
}
DIRECTIONS = {"in": Policy.SSRC_ANY_INBOUND, "out": Policy.SSRC_ANY_OUTBOUND}
OPERATIONS = ("protect", "unprotect", "protect_rtcp", "unprotect_rtcp")

sessions = {}


def answer(command, name, *arguments):
    if command == "new":
        profile, direction, key = arguments
        policy = Policy(key=bytes.fromhex(key), ssrc_type=DIRECTIONS[direction], srtp_profile=PROFILES[profile])
        sessions[name] = Session(policy=policy)
        return "ok"
    if command not in OPERATIONS:
        raise ValueError(f"no such command: {command}")
    try:
        return "ok " + getattr(sessions[name], command)(bytes.fromhex(*arguments)).hex()
    except Error as error:
        return f"error {error}"


for line in sys.stdin:
    print(answer(*line.split()), flush=True)
