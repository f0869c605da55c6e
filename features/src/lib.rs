//! No code. Cargo builds a library once for each set of features that the chosen packages ask for together; this package asks for
//! all of them, so that the WebAssembly engine, which takes minutes, is built once for the gateway and its tests.
