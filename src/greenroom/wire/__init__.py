"""The contract of the HTTP API: one model for every answer, every request body and the one error body.

The platform's handlers answer with these models, `GET /openapi.json` is built from them, and the client reads them. A
test holds the page's JavaScript against them. The words that say how far a release is, and what to do after one has
failed, are here as well, because the command line and the page show them alike.

`models` has all of it under one name; `statuses` alone is cheap to import. Only pydantic is used, and no other room.
`base` says how one definition is strict where an answer is made and tolerant where it is read.
"""
