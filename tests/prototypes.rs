//! What `eventlet.h` declares is what `shim/src/capi/` defines: every exported function is declared once more in C, from
//! its Rust signature, behind the header; so are the structs. A C compiler says whether the two agree.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::common::declarations;
use syn::{FnArg, GenericArgument, Item, ItemFn, ItemStruct, PathArguments, ReturnType, Type};

/// Types that have another name in C.
const NAMES: [(&str, &str); 21] = [
    ("Event", "eventlet_event"),
    ("Iter", "eventlet_iter"),
    ("Pile", "eventlet_pile"),
    ("Pool", "eventlet_pool"),
    ("Queue", "eventlet_queue"),
    ("Semaphore", "eventlet_semaphore"),
    ("Thread", "eventlet_thread"),
    ("Timeout", "eventlet_timeout"),
    ("ConnectOptions", "eventlet_connect_options"),
    ("ListenOptions", "eventlet_listen_options"),
    ("Options", "eventlet_ssl_options"),
    ("c_char", "char"),
    ("c_int", "int"),
    ("c_long", "long"),
    ("c_uint", "unsigned"),
    ("c_void", "void"),
    ("f64", "double"),
    ("i32", "int"),
    ("usize", "size_t"),
    ("sockaddr", "struct sockaddr"),
    ("socklen_t", "socklen_t"),
];

/// The edge, as its source says.
#[derive(Default)]
struct Edge {
    functions: Vec<ItemFn>,
    structs: Vec<ItemStruct>,
    aliases: BTreeMap<String, Type>,
}

impl Edge {
    /// From the files that define the functions, and those that name types of theirs.
    fn read() -> Edge {
        let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
        let mut edge = Edge::default();
        for folder in ["shim/src/capi", "src/blocking/face"] {
            for entry in fs::read_dir(root.join(folder)).expect(folder).flatten() {
                edge.read_file(entry.path());
            }
        }
        edge.read_file(root.join("shim/src/capi.rs"));
        edge
    }

    fn read_file(&mut self, path: PathBuf) {
        if !path.is_file() {
            return;
        }
        let file = syn::parse_file(&fs::read_to_string(&path).expect("UTF-8")).expect("Rust");
        for item in file.items {
            match item {
                Item::Macro(item) if item.mac.path.is_ident("exports") => {
                    let inside: syn::File = syn::parse2(item.mac.tokens).expect("functions");
                    self.functions.extend(inside.items.into_iter().map(|item| match item {
                        Item::Fn(function) => function,
                        other => panic!("{path:?}: no function: {other:?}"),
                    }));
                }
                Item::Struct(item) if is_c(&item) => self.structs.push(item),
                Item::Type(item) => drop(self.aliases.insert(item.ident.to_string(), *item.ty)),
                _ => {}
            }
        }
    }

    /// `inner` declared in C as of the type `rust`.
    fn declare(&self, rust: &Type, inner: &str, constant: bool) -> String {
        let constant = if constant { "const " } else { "" };
        match rust {
            Type::Never(_) => format!("void {inner}"),
            Type::Ptr(to) => self.declare(&to.elem, &format!("*{inner}"), to.const_token.is_some()),
            Type::BareFn(function) => {
                let arguments = function.inputs.iter().map(|argument| &argument.ty);
                let inner = format!("(*{inner})({})", self.list(arguments));
                self.answer(&function.output, &inner)
            }
            Type::Path(path) => {
                let last = path.path.segments.last().expect("a name");
                let name = last.ident.to_string();
                if let PathArguments::AngleBracketed(arguments) = &last.arguments
                    && name == "Option"
                    && let Some(GenericArgument::Type(some)) = arguments.args.first()
                {
                    return self.declare(some, inner, false);
                }
                match NAMES.iter().find(|(rust, _)| *rust == name) {
                    Some((_, c)) => format!("{constant}{c} {inner}"),
                    None => self.declare(self.aliases.get(&name).expect(&name), inner, false),
                }
            }
            other => panic!("no type of C: {other:?}"),
        }
    }

    fn list<'a>(&self, types: impl Iterator<Item = &'a Type>) -> String {
        let list: Vec<_> = types.map(|rust| self.declare(rust, "", false)).collect();
        if list.is_empty() { "void".into() } else { list.join(", ") }
    }

    fn answer(&self, output: &ReturnType, inner: &str) -> String {
        match output {
            ReturnType::Default => format!("void {inner}"),
            ReturnType::Type(_, rust) => self.declare(rust, inner, false),
        }
    }

    fn prototype(&self, function: &ItemFn) -> String {
        let types = function.sig.inputs.iter().map(|argument| match argument {
            FnArg::Typed(argument) => &*argument.ty,
            FnArg::Receiver(_) => panic!("{}: a method", function.sig.ident),
        });
        let inner = format!("{}({})", function.sig.ident, self.list(types));
        format!("{};\n", self.answer(&function.sig.output, &inner))
    }

    /// A struct of its own with the same fields, and what has to hold if it is the header's.
    fn layout(&self, item: &ItemStruct) -> String {
        let name = item.ident.to_string();
        let (_, c) = NAMES.iter().find(|(rust, _)| *rust == name).expect(&name);
        let (mut fields, mut checks) = (String::new(), String::new());
        for field in &item.fields {
            let name = field.ident.as_ref().expect("a name").to_string();
            fields += &format!("    {};\n", self.declare(&field.ty, &name, false));
            checks += &format!("same({c}, {name});\n");
        }
        format!(
            "struct rust_{c} {{\n{fields}}};\n{checks}_Static_assert(sizeof(struct rust_{c}) == sizeof({c}), \"\");\n"
        )
    }

    fn prototypes(&self) -> Vec<String> {
        self.functions.iter().map(|function| self.prototype(function)).collect()
    }
}

fn is_c(item: &ItemStruct) -> bool {
    item.attrs.iter().any(|attribute| {
        attribute.path().is_ident("repr") && attribute.parse_args::<syn::Ident>().is_ok_and(|it| it == "C")
    })
}

/// What a C compiler has against `text`, behind the header.
fn complaints(text: &str) -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    const SAME: &str = "#define same(type, field) _Static_assert( \
        offsetof(type, field) == offsetof(struct rust_##type, field) && __builtin_types_compatible_p( \
        __typeof__(((type *)0)->field), __typeof__(((struct rust_##type *)0)->field)), #field)\n";
    let header = concat!(env!("CARGO_MANIFEST_DIR"), "/shim/include/eventlet.h");
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let source = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("prototypes-{number}.c"));
    fs::write(&source, format!("#include \"{header}\"\n{SAME}{text}")).expect("a file");
    let output = Command::new("cc")
        .args(["-std=c11", "-fsyntax-only", "-Wall", "-Wextra", "-fmax-errors=0"])
        .arg(&source)
        .stdin(Stdio::null())
        .env("LC_ALL", "C")
        .output()
        .expect("cc");
    String::from_utf8(output.stderr).expect("UTF-8")
}

#[test]
fn functions_are_as_declared() {
    let edge = Edge::read();
    let names = edge.functions.iter().map(|function| function.sig.ident.to_string());
    assert_eq!(names.collect::<BTreeSet<_>>(), declarations());
    assert_eq!(complaints(&edge.prototypes().concat()), "");
}

#[test]
fn structs_are_as_declared() {
    let edge = Edge::read();
    assert_eq!(edge.structs.len(), 3);
    let layouts: String = edge.structs.iter().map(|item| edge.layout(item)).collect();
    assert_eq!(complaints(&layouts), "");
}

/// The check itself: an argument more, one that is another, another answer, another field: all are noticed.
#[test]
fn changes_are_noticed() {
    let edge = Edge::read();
    let more = |it: &String| it.replace("(void);", "(float);").replace(");", ", float);");
    let pairs = [
        ("an argument more", edge.prototypes().iter().map(more).collect::<Vec<_>>()),
        ("another answer", edge.prototypes().iter().map(|it| format!("struct {{}} *{it}")).collect()),
        ("int is long", changed(&edge, "int ", "long ")),
        ("a pointer less", changed(&edge, "*", "")),
        ("const", changed(&edge, "const ", "")),
        ("double is float", changed(&edge, "double ", "float ")),
        ("size_t is int", changed(&edge, "size_t ", "int ")),
    ];
    for (what, prototypes) in pairs {
        assert!(!prototypes.is_empty(), "{what}");
        let said = complaints(&prototypes.concat());
        let refused = said.lines().filter(|line| line.contains("error:")).count();
        assert!(refused >= prototypes.len(), "{what}: {refused} of {}\n{said}", prototypes.len());
    }
    for item in &edge.structs {
        let wrong = edge.layout(item).replacen("    int ", "    long ", 1);
        assert!(complaints(&wrong).contains("static assertion failed"), "{wrong}");
    }
}

/// The prototypes in which `from` can be replaced by `to`.
fn changed(edge: &Edge, from: &str, to: &str) -> Vec<String> {
    let prototypes = edge.prototypes().into_iter();
    prototypes.filter(|it| it.contains(from)).map(|it| it.replacen(from, to, 1)).collect()
}
