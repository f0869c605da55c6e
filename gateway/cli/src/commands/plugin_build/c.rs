//! Projects in C, built by zig or by the WASI SDK's clang.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use wit_bindgen_core::Files;
use wit_parser::Resolve;

use super::contract::{CONTRACT, World};
use super::tool::{self, absolute, run};

const TARGET: &[&str] = &["-target", "wasm32-wasi", "-mexec-model=reactor"];
/// Small code, and a stack that makes an instance 128 KiB instead of zig's 16 MiB.
const FLAGS: &[&str] = &["-Os", "-s", "-Wl,-z,stack-size=65536"];
const MISSING: &str = "projects in C are built by zig, which is not installed; install it with `pip install ziglang` or \
                       from https://ziglang.org (or set WASI_SDK_PATH to a WASI SDK)";

/// The folder's own `.c` files; those of folders in it are not the plugin's.
pub(super) fn sources(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(folder).with_context(|| format!("{}: cannot be read", folder.display()))?;
    let files = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let mut sources: Vec<PathBuf> = files.filter(|file| file.extension().is_some_and(|kind| kind == "c")).collect();
    sources.sort();
    Ok(sources)
}

/// Compiles all `.c` files of the folder together with the bindings of the world whose header they include; gives the core
/// module.
pub(super) fn build(folder: &Path) -> Result<Vec<u8>> {
    let folder = absolute(folder)?;
    let sources = sources(&folder)?;
    let world = world_of(&sources).with_context(|| format!("{}", folder.display()))?;
    let work = tool::temporary_folder()?;
    let bindings = write_bindings(world, work.path())?;
    let module = work.path().join("module.wasm");
    let mut compiler = compiler()?;
    compiler.args(TARGET).args(FLAGS).arg("-I").arg(work.path()).arg("-o").arg(&module);
    compiler.args(sources).args(bindings).current_dir(&folder);
    run(compiler, "the C compiler", "builds projects in C")?;
    std::fs::read(&module).context("the C compiler has written no module")
}

/// The world that the sources implement: its header is what they include.
fn world_of(sources: &[PathBuf]) -> Result<World> {
    let mut texts = Vec::new();
    for source in sources {
        texts.push(std::fs::read(source).with_context(|| format!("{}: cannot be read", source.display()))?);
    }
    let lines = || texts.iter().flat_map(|text| text.split(|byte| *byte == b'\n'));
    let includes = |world: &World| {
        let header = format!("\"{}.h\"", file_stem(*world));
        lines()
            .any(|line| String::from_utf8_lossy(line).trim().strip_prefix("#include").map(str::trim) == Some(&header))
    };
    let worlds: Vec<World> = World::all().filter(includes).collect();
    match worlds[..] {
        [world] => Ok(world),
        [] => bail!(
            "no .c file includes the header of a world: write `#include \"handler.h\"` for a handler, `#include \
             \"filter.h\"` for a filter"
        ),
        [one, other, ..] => bail!(
            "the .c files include the headers of two worlds, {} and {}; a component is of one",
            one.name(),
            other.name()
        ),
    }
}

/// Writes the world's header, its code and its types; gives the files to compile and link.
fn write_bindings(world: World, folder: &Path) -> Result<[PathBuf; 2]> {
    let mut resolve = Resolve::default();
    let package = resolve.push_str("plugin.wit", CONTRACT)?;
    let id = resolve.select_world(&[package], Some(world.name()))?;
    let mut files = Files::default();
    wit_bindgen_c::Opts::default().build().generate(&mut resolve, id, &mut files)?;
    for (name, content) in files.iter() {
        std::fs::write(folder.join(name), content).with_context(|| format!("{name}: cannot be written"))?;
    }
    let stem = file_stem(world);
    Ok([folder.join(format!("{stem}.c")), folder.join(format!("{stem}_component_type.o"))])
}

/// How the world's files begin.
fn file_stem(world: World) -> String {
    world.name().replace('-', "_")
}

fn compiler() -> Result<Command> {
    if let Some(sdk) = std::env::var_os("WASI_SDK_PATH") {
        return Ok(Command::new(Path::new(&sdk).join("bin/clang")));
    }
    let zig = ["zig", "python-zig"].into_iter().find_map(tool::find);
    let mut command = match zig {
        Some(zig) => Command::new(zig),
        None if has_python_zig() => {
            let mut python = Command::new("python3");
            python.args(["-m", "ziglang"]);
            python
        }
        None => bail!(MISSING),
    };
    command.arg("cc");
    Ok(command)
}

fn has_python_zig() -> bool {
    let mut python = Command::new("python3");
    python.args(["-c", "import ziglang"]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    python.status().is_ok_and(|status| status.success())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn world_of(text: &str) -> Result<World> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("plugin.c");
        std::fs::write(&file, text).unwrap();
        super::world_of(&[file])
    }

    #[test]
    fn the_header_says_the_world() {
        assert_eq!(world_of("#include <stdio.h>\n#include \"handler.h\"\n").unwrap(), World::HANDLER);
        assert_eq!(world_of("#include  \"filter_with_http.h\"\r\n").unwrap().name(), "filter-with-http");
    }

    #[test]
    fn no_header_of_a_world_and_two_of_them_are_refused() {
        assert!(world_of("// #include \"handler.h\"\n").unwrap_err().to_string().contains("#include \"handler.h\""));
        let two = world_of("#include \"handler.h\"\n#include \"filter.h\"").unwrap_err().to_string();
        assert!(two.contains("handler and filter"), "{two}");
    }
}
