"""How Python's email package reads messages: one JSON object a line.

Arguments: directories and files. A file of several is split at its "From "
lines (200 messages at most), a *.py or *.go file gives its string literals that
look like messages, every other file with test data is a message. With --keep DIR each message is also written to
DIR/N.eml, so that another reader gets the same bytes.
"""
import ast, email, email.header, email.policy, email.utils, hashlib, json, os, re, sys, textwrap

LOOKS_LIKE_MAIL = re.compile(rb"\A(From [^\n]*\n)?([!-9;-~]+[ \t]*:[^\n]*\r?\n([ \t][^\n]*\r?\n)*){2,}\r?\n", re.A)


def literals(path):
    data = open(path, "rb").read()
    if path.endswith(".go"):
        for raw in re.findall(rb"`([^`]*)`", data):
            yield raw.lstrip(b"\r\n")
        for quoted in re.findall(rb'"((?:[^"\\\n]|\\.)*)"(?:\s*\+\s*)?', data):
            try:
                yield ast.literal_eval('b"' + quoted.decode("ascii") + '"')
            except (SyntaxError, ValueError, UnicodeDecodeError):
                pass
        return
    for node in ast.walk(ast.parse(data)):
        if isinstance(node, ast.Constant) and isinstance(node.value, (str, bytes)):
            value = node.value
            if isinstance(value, str):
                value = value.encode("utf-8", "surrogateescape")
            yield textwrap.dedent(value.decode("latin-1")).encode("latin-1").lstrip(b"\r\n")


def messages(paths):
    for top in paths:
        found = [top]
        if os.path.isdir(top):
            found = sorted(os.path.join(d, f) for d, _, files in os.walk(top) for f in files)
        for path in found:
            name = os.path.basename(path)
            if name.endswith((".py", ".go")):
                for n, text in enumerate(literals(path)):
                    if LOOKS_LIKE_MAIL.match(text):
                        yield "%s#%d" % (name, n), text
                continue
            data = open(path, "rb").read()
            if len(re.findall(rb"^From \S+.*\d\d:\d\d:\d\d.*\d{4}\r?$", data, re.M)) > 2:
                for n, text in enumerate(re.split(rb"^From \S+.*\d\d:\d\d:\d\d.*\d{4}\r?\n", data, flags=re.M)[1:201]):
                    yield "%s#%d" % (name, n), text
                continue
            if re.search(r"test_?data|test_email/data", path) and not name.endswith((".golden", ".svg", ".pem", ".license")):
                if re.match(rb"\A(From [^\n]*\n)?\s*[!-9;-~]+[ \t]*:", data):
                    yield name, data


def text(value):
    return str(value).encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def subject(m):
    try:
        value = m["Subject"]
        if value is None:
            return ""
        return text(value)
    except Exception as e:
        return "?" + repr(e)


def filename(p):
    try:
        name = p.get_filename()
    except Exception as e:
        return "?" + repr(e)
    return "" if name is None else text(name)


def content_type(p):
    try:
        return p.get_content_type()
    except Exception as e:
        return "?" + repr(e)


def walk(m, path, parts, root=True):
    if m.is_multipart() and m.get_content_maintype() == "multipart":
        for n, p in enumerate(m.get_payload(), 1):
            walk(p, "%s%d." % (path, n), parts, False)
        return
    if root:
        path += "1"
    part = {"path": path.rstrip("."), "type": content_type(m), "name": filename(m), "cte": str(m.get("Content-Transfer-Encoding", "")).lower()}
    parts.append(part)
    if m.is_multipart():
        if part["type"] in ("message/rfc822", "message/news", "message/global"):
            for p in m.get_payload():
                part["subject"] = subject(p)
                walk(p, part["path"] + ".", parts)
        return
    try:
        data = m.get_payload(decode=True) or b""
    except Exception as e:
        part["sha"] = "?" + repr(e)
        return
    part["sha"] = hashlib.sha256(data.replace(b"\r\n", b"\n")).hexdigest()
    part["loose"] = hashlib.sha256(re.sub(rb"[ \t]+\n", b"\n", data.replace(b"\r\n", b"\n")).rstrip()).hexdigest()
    part["size"] = len(data)


args = sys.argv[1:]
keep = None
if args[0] == "--keep":
    keep, args = args[1], args[2:]
seen = set()
for name, data in messages(args):
    if hashlib.sha256(data).digest() in seen:
        continue
    seen.add(hashlib.sha256(data).digest())
    parts = []
    try:
        m = email.message_from_bytes(data, policy=email.policy.default)
        walk(m, "", parts)
        out = {"name": name, "subject": subject(m), "parts": parts, "defects": [type(d).__name__ for p in m.walk() for d in p.defects]}
    except Exception as e:
        out = {"name": name, "error": repr(e)}
    if keep:
        out["file"] = "%d.eml" % len(seen)
        with open(os.path.join(keep, out["file"]), "wb") as f:
            f.write(data)
    print(json.dumps(out))
