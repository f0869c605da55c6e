//! Projects in C, built by zig or by the WASI SDK's clang, which make is given where there is a Makefile.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use tempfile::TempDir;
use wit_bindgen_core::Files;
use wit_parser::Resolve;

use super::super::sdk;
use super::contract::{CONTRACT, World};
use super::order::Order;
use super::tool::{self, CLANG, MAKE, Tool, ZIG, absolute};

const TARGET: &[&str] = &["-target", "wasm32-wasi"];
/// Small code.
const COMPILED: &[&str] = &["-Os"];
/// A stack that makes an instance 128 KiB instead of zig's 16 MiB.
const LINKED: &[&str] = &["-mexec-model=reactor", "-s", "-Wl,-z,stack-size=65536"];
const MAKEFILES: [&str; 3] = ["GNUmakefile", "makefile", "Makefile"];
/// The target of a Makefile, and the file that it makes.
const MADE: &str = "plugin.wasm";
/// The folder of the SDK in a project, which need not be there.
const SDK: &str = "hubgate";

pub(super) fn is_project(folder: &Path) -> Result<bool> {
    Ok(has_makefile(folder) || !sources(folder)?.is_empty())
}

fn has_makefile(folder: &Path) -> bool {
    MAKEFILES.iter().any(|name| folder.join(name).is_file())
}

/// The folder's own `.c` files; those of folders in it are not the plugin's.
fn sources(folder: &Path) -> Result<Vec<PathBuf>> {
    files(folder, "c")
}

fn files(folder: &Path, extension: &str) -> Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(folder).with_context(|| format!("{}: cannot be read", folder.display()))?;
    let files = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let mut files: Vec<PathBuf> = files.filter(|file| file.extension().is_some_and(|kind| kind == extension)).collect();
    files.sort();
    Ok(files)
}

/// Gives the core module.
pub(super) fn build(folder: &Path, order: &Order) -> Result<Vec<u8>> {
    let folder = absolute(folder)?;
    let compiler = Compiler::find()?;
    match has_makefile(&folder) {
        true => make(&folder, &compiler, folder_for_make()?.path(), order),
        false => compile(&folder, &compiler, tool::temporary_folder()?.path(), order),
    }
}

/// Compiles all `.c` files of the folder, together with the bindings of the world whose header they or the folder's headers
/// include, or else with the SDK: that of the project if it has one.
fn compile(folder: &Path, compiler: &Compiler, work: &Path, order: &Order) -> Result<Vec<u8>> {
    let mut sources = sources(folder)?;
    let written = [&sources[..], &files(folder, "h")?].concat();
    match used(&written).with_context(|| format!("{}", folder.display()))? {
        Used::Bindings(world) => sources.extend(write_bindings(world, work)?),
        Used::Sdk if folder.join(SDK).is_dir() => sources.extend(self::sources(&folder.join(SDK))?),
        Used::Sdk => sources.extend(write_sdk(work)?),
    }
    let module = work.join("module.wasm");
    let mut command = compiler.command(&compiler.arguments);
    command.args(TARGET).args(COMPILED).args(LINKED).arg("-I").arg(work).arg("-o").arg(&module);
    command.args(sources).current_dir(folder);
    compiler.tool.run(command, order)?;
    std::fs::read(&module).context("the C compiler has written no module")
}

/// A temporary folder whose path make and the shell take for one word.
fn folder_for_make() -> Result<TempDir> {
    let usual = tool::temporary_folder()?;
    let is_one_word = |path: &Path| path.to_str().is_some_and(|path| !path.contains(|c: char| !is_plain(c)));
    if is_one_word(usual.path()) {
        return Ok(usual);
    }
    let folder = tempfile::Builder::new().prefix("hubgate-").tempdir_in("/tmp");
    folder.context(
        "the temporary folder's path has a blank or the like, which make cannot use, and /tmp cannot be written",
    )
}

fn is_plain(letter: char) -> bool {
    letter.is_alphanumeric() || "/._-+".contains(letter)
}

/// Lets make make the module, with the compiler and its flags in the environment, and the bindings of all worlds in `$HUBGATE`.
fn make(folder: &Path, compiler: &Compiler, work: &Path, order: &Order) -> Result<Vec<u8>> {
    for world in World::all() {
        write_bindings(world, work)?;
    }
    write_sdk(work)?;
    let mut includes = OsString::from(" -I");
    includes.push(work);
    let mut compiled = OsString::from(COMPILED.join(" "));
    compiled.push(includes);
    let mut command = Command::new("make");
    command.arg(MADE).current_dir(folder).env("HUBGATE", work).env("CC", compiler.words());
    command.env("CFLAGS", compiled).env("LDFLAGS", LINKED.join(" "));
    MAKE.run(command, order)?;
    let module = folder.join(MADE);
    std::fs::read(&module).with_context(|| format!("{}: cannot be read after `make {MADE}`", module.display()))
}

/// What sources are written with.
#[derive(Debug, PartialEq, Eq)]
enum Used {
    Bindings(World),
    Sdk,
}

/// What the files include the header of: that of a world, or none of them.
fn used(files: &[PathBuf]) -> Result<Used> {
    let mut texts = Vec::new();
    for file in files {
        texts.push(std::fs::read(file).with_context(|| format!("{}: cannot be read", file.display()))?);
    }
    let lines = || texts.iter().flat_map(|text| text.split(|byte| *byte == b'\n'));
    let includes = |header: &str| {
        let header = format!("\"{header}\"");
        lines().any(|line| included(&String::from_utf8_lossy(line)).is_some_and(|name| name.starts_with(&header)))
    };
    let worlds: Vec<World> = World::all().filter(|world| includes(&format!("{}.h", file_stem(*world)))).collect();
    match worlds[..] {
        [world] => Ok(Used::Bindings(world)),
        // Its header may come by way of others.
        [] => Ok(Used::Sdk),
        [one, other, ..] => bail!(
            "the files include the headers of two worlds, {} and {}; a component is of one",
            one.name(),
            other.name()
        ),
    }
}

/// What a line includes, and whatever follows it.
fn included(line: &str) -> Option<&str> {
    Some(line.trim_start().strip_prefix('#')?.trim_start().strip_prefix("include")?.trim_start())
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

/// Writes the SDK; gives the files to compile.
fn write_sdk(folder: &Path) -> Result<Vec<PathBuf>> {
    std::fs::create_dir_all(folder.join(SDK))?;
    for (path, text) in sdk::C {
        std::fs::write(folder.join(path), text).with_context(|| format!("{path}: cannot be written"))?;
    }
    sources(&folder.join(SDK))
}

/// How the world's files begin.
fn file_stem(world: World) -> String {
    world.name().replace('-', "_")
}

/// What compiles C.
struct Compiler {
    tool: &'static Tool,
    program: OsString,
    /// Those that come first.
    arguments: Vec<&'static str>,
}

impl Compiler {
    /// Fails where there is none, or one that is too old.
    fn find() -> Result<Compiler> {
        if let Some(sdk) = std::env::var_os("WASI_SDK_PATH") {
            let program = Path::new(&sdk).join("bin/clang").into();
            return Compiler { tool: &CLANG, program, arguments: vec![] }.not_too_old(&["--version"]);
        }
        let zig = ["zig", "python-zig"].into_iter().find_map(tool::find);
        let (program, module): (OsString, &[&'static str]) = match zig {
            Some(zig) => (zig.into(), &[]),
            None if has_python_zig() => ("python3".into(), &["-m", "ziglang"]),
            None => return Err(ZIG.missing()),
        };
        let arguments = [module, &["cc"]].concat();
        Compiler { tool: &ZIG, program, arguments }.not_too_old(&[module, &["version"]].concat())
    }

    fn not_too_old(self, asked: &[&str]) -> Result<Compiler> {
        self.tool.check_version_of(self.command(asked))?;
        Ok(self)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(arguments);
        command
    }

    /// The command and its arguments, as a Makefile has them.
    fn words(&self) -> OsString {
        let arguments = self.arguments.iter().chain(TARGET).map(OsString::from);
        let all: Vec<OsString> = std::iter::once(self.program.clone()).chain(arguments).collect();
        all.join(OsStr::new(" "))
    }
}

fn has_python_zig() -> bool {
    let mut python = Command::new("python3");
    python.args(["-c", "import ziglang"]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    python.status().is_ok_and(|status| status.success())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn used(text: &str) -> Result<Used> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("plugin.c");
        std::fs::write(&file, text).unwrap();
        super::used(&[file])
    }

    #[test]
    fn headers_say_what_is_used() {
        assert_eq!(used("#include <stdio.h>\n#include \"handler.h\"\n").unwrap(), Used::Bindings(World::HANDLER));
        let filter = World::named("filter-with-http").unwrap();
        assert_eq!(used("#include  \"filter_with_http.h\"\r\n").unwrap(), Used::Bindings(filter));
        assert_eq!(
            used("  # include \"filter.h\" // the contract\n").unwrap(),
            Used::Bindings(World::named("filter").unwrap())
        );
        for sdk in
            ["#include \"hubgate/hubgate.h\" // the SDK\n", "#include \"mine.h\"\n", "// #include \"handler.h\"\n"]
        {
            assert_eq!(used(sdk).unwrap(), Used::Sdk, "{sdk}");
        }
    }

    #[test]
    fn the_headers_of_two_worlds_are_refused() {
        let two = used("#include \"handler.h\"\n#include \"filter.h\"").unwrap_err().to_string();
        assert!(two.contains("handler and filter"), "{two}");
    }
}
