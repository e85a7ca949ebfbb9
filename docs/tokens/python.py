"""Tokens for customers, signed with HS256 by PyJWT: pip install "pyjwt>=2.10,<3"

python3 python.py keys             makes shop.secret, for your server and every node
python3 python.py token SUBJECT    prints a token
"""

import base64
import os
import secrets
import sys
import time

import jwt

if sys.argv[1] == "keys":
    file = os.open("shop.secret", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with open(file, "wb") as secret:
        secret.write(base64.b64encode(secrets.token_bytes(32)))
elif sys.argv[1] == "token":
    with open("shop.secret", "rb") as secret:
        key = base64.b64decode(secret.read())
    now = int(time.time())
    claims = {
        "iss": "https://shop.example",
        "aud": "firstcome",
        "sub": sys.argv[2],
        "iat": now,
        "exp": now + 600,
    }
    print(jwt.encode(claims, key, algorithm="HS256"))
