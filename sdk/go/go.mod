module hubgate

go 1.24
