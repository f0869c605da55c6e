module example.com/conformance-handler

go 1.24

require hubgate v0.0.0

replace hubgate => ../../../../../sdk/go
