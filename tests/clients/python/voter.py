"""A voter of examples/poll with the unmodified SignalR client `pysignalr`.

    python voter.py URL PROTOCOL TOKEN

When the hub calls `yourTurn(choice)`, it votes and asks which language answers. It says in lines what it gets.
"""

import asyncio
import json
import sys

from pysignalr.client import SignalRClient
from pysignalr.protocol.json import JSONProtocol
from pysignalr.protocol.messagepack import MessagepackProtocol

url, protocol, token = sys.argv[1:]
protocols = {"json": JSONProtocol, "messagepack": MessagepackProtocol}
# One try only: an end is to be seen.
client = SignalRClient(
    f"{url}/client/?hub=poll", protocol=protocols[protocol](), headers={"Authorization": f"Bearer {token}"}, retry_count=0
)


def say(*words):
    print(*(word if isinstance(word, str) else json.dumps(word, separators=(",", ":")) for word in words), flush=True)


async def connected():
    say("connected")


async def counted(arguments):
    say("counts", arguments[0])


async def voted(message):
    if message.error:
        say("refused", message.error)
    else:
        say("voted", message.result)


async def answered(message):
    say("answered by", message.result)


async def vote(arguments):
    await client.send("vote", arguments, voted)
    await client.send("language", [], answered)


async def go_home(_):
    running.cancel()


async def main():
    global running
    client.on_open(connected)
    client.on_error(voted)
    client.on("counts", counted)
    client.on("yourTurn", vote)
    client.on("goHome", go_home)
    running = asyncio.ensure_future(client.run())
    try:
        await running
        say("closed")
    except asyncio.CancelledError:
        say("done")


asyncio.run(main())
