using Microsoft.AspNetCore.SignalR;

var builder = WebApplication.CreateBuilder(args);

// Reads Azure:SignalR:ConnectionString, in the environment Azure__SignalR__ConnectionString: that of Hubgate.
builder.Services.AddSignalR().AddAzureSignalR();

var app = builder.Build();
app.MapHub<Chat>("/chat");
app.Run();

/// <summary>A chat with rooms. Nothing in it knows what holds the connections.</summary>
public sealed class Chat : Hub
{
    public async Task<string> Join(string room, string name)
    {
        await Groups.AddToGroupAsync(Context.ConnectionId, room);
        await Clients.OthersInGroup(room).SendAsync("said", room, $"{name} has joined.");
        return $"Welcome to {room}, {name}.";
    }

    public Task Say(string room, string text) => Clients.Group(room).SendAsync("said", room, text);

    public Task SayToAll(string text) => Clients.All.SendAsync("said", "everybody", text);
}
