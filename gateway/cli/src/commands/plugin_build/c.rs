//! Projects in C, built by zig or by the WASI SDK's clang, which make is given where there is a Makefile.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use wit_bindgen_core::Files;
use wit_parser::Resolve;

use super::contract::{CONTRACT, World};
use super::tool::{self, absolute, run};

const TARGET: &[&str] = &["-target", "wasm32-wasi"];
/// Small code.
const COMPILED: &[&str] = &["-Os"];
/// A stack that makes an instance 128 KiB instead of zig's 16 MiB.
const LINKED: &[&str] = &["-mexec-model=reactor", "-s", "-Wl,-z,stack-size=65536"];
const MAKEFILES: [&str; 3] = ["GNUmakefile", "makefile", "Makefile"];
/// The target of a Makefile, and the file that it makes.
const MADE: &str = "plugin.wasm";
/// The folder of the SDK in a project.
const SDK: &str = "hubgate";
const MISSING: &str = "projects in C are built by zig, which is not installed; install it with `pip install ziglang` or \
                       from https://ziglang.org (or set WASI_SDK_PATH to a WASI SDK)";

pub(super) fn is_project(folder: &Path) -> Result<bool> {
    Ok(has_makefile(folder) || !sources(folder)?.is_empty())
}

fn has_makefile(folder: &Path) -> bool {
    MAKEFILES.iter().any(|name| folder.join(name).is_file())
}

/// The folder's own `.c` files; those of folders in it are not the plugin's.
fn sources(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(folder).with_context(|| format!("{}: cannot be read", folder.display()))?;
    let files = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let mut sources: Vec<PathBuf> = files.filter(|file| file.extension().is_some_and(|kind| kind == "c")).collect();
    sources.sort();
    Ok(sources)
}

/// Gives the core module.
pub(super) fn build(folder: &Path) -> Result<Vec<u8>> {
    let folder = absolute(folder)?;
    let compiler = compiler()?;
    let work = tool::temporary_folder()?;
    match has_makefile(&folder) {
        true => make(&folder, &compiler, work.path()),
        false => compile(&folder, &compiler, work.path()),
    }
}

/// Compiles all `.c` files of the folder, together with those of the SDK in it, or with the bindings of the world whose header
/// they include.
fn compile(folder: &Path, compiler: &[OsString], work: &Path) -> Result<Vec<u8>> {
    let mut sources = sources(folder)?;
    let world = world_of(&sources).with_context(|| format!("{}", folder.display()))?;
    match (world, folder.join(SDK)) {
        (Some(world), _) => sources.extend(write_bindings(world, work)?),
        (None, sdk) if sdk.is_dir() => sources.extend(self::sources(&sdk)?),
        (None, _) => bail!(
            "{}: no .c file includes the header of a world: write `#include \"handler.h\"` for a handler, `#include \
             \"filter.h\"` for a filter",
            folder.display()
        ),
    }
    let module = work.join("module.wasm");
    let mut command = Command::new(&compiler[0]);
    command.args(&compiler[1..]).args(COMPILED).args(LINKED).arg("-I").arg(work).arg("-o").arg(&module);
    command.args(sources).current_dir(folder);
    run(command, "the C compiler", "builds projects in C")?;
    std::fs::read(&module).context("the C compiler has written no module")
}

/// Lets make make the module, with the compiler and its flags in the environment, and the bindings of all worlds in `$HUBGATE`.
fn make(folder: &Path, compiler: &[OsString], work: &Path) -> Result<Vec<u8>> {
    if tool::find("make").is_none() {
        bail!("{}: projects in C with a Makefile are built by make, which is not installed", folder.display());
    }
    for world in World::all() {
        write_bindings(world, work)?;
    }
    let mut includes = OsString::from(" -I");
    includes.push(work);
    let mut compiled = words(&COMPILED.iter().map(OsString::from).collect::<Vec<_>>());
    compiled.push(includes);
    let mut command = Command::new("make");
    command.arg(MADE).current_dir(folder).env("HUBGATE", work).env("CC", words(compiler));
    command.env("CFLAGS", compiled).env("LDFLAGS", LINKED.join(" "));
    run(command, "make", "builds projects in C that have a Makefile")?;
    let module = folder.join(MADE);
    std::fs::read(&module).with_context(|| format!("{}: cannot be read after `make {MADE}`", module.display()))
}

fn words(command: &[OsString]) -> OsString {
    command.join(OsStr::new(" "))
}

/// The world whose header the sources include, if they do.
fn world_of(sources: &[PathBuf]) -> Result<Option<World>> {
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
        [world] => Ok(Some(world)),
        [] => Ok(None),
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

/// The command with its first arguments.
fn compiler() -> Result<Vec<OsString>> {
    let zig = ["zig", "python-zig"].into_iter().find_map(tool::find);
    let mut command: Vec<OsString> = match (std::env::var_os("WASI_SDK_PATH"), zig) {
        (Some(sdk), _) => vec![Path::new(&sdk).join("bin/clang").into()],
        (None, Some(zig)) => vec![zig.into(), "cc".into()],
        (None, None) if has_python_zig() => ["python3", "-m", "ziglang", "cc"].map(OsString::from).to_vec(),
        (None, None) => bail!(MISSING),
    };
    command.extend(TARGET.iter().map(OsString::from));
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

    fn world_of(text: &str) -> Result<Option<World>> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("plugin.c");
        std::fs::write(&file, text).unwrap();
        super::world_of(&[file])
    }

    #[test]
    fn the_header_says_the_world() {
        assert_eq!(world_of("#include <stdio.h>\n#include \"handler.h\"\n").unwrap(), Some(World::HANDLER));
        let filter = world_of("#include  \"filter_with_http.h\"\r\n").unwrap();
        assert_eq!(filter.map(World::name), Some("filter-with-http"));
        assert_eq!(world_of("// #include \"handler.h\"\n").unwrap(), None);
    }

    #[test]
    fn the_headers_of_two_worlds_are_refused() {
        let two = world_of("#include \"handler.h\"\n#include \"filter.h\"").unwrap_err().to_string();
        assert!(two.contains("handler and filter"), "{two}");
    }
}
