//! Hub servers and clients in .NET. They wait for time-outs for most of their time, so `scripts/test.sh` runs all of them at once,
//! beside all other tests.

mod dotnet_client;
mod dotnet_server;
mod reconnect;
