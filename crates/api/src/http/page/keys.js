// Looking a key up, setting and deleting it.
const PREVIEW_BYTES = 4096, TEXT = "text/plain; charset=utf-8";
let type = TEXT;

// The path of a key; a browser resolves the segments "." and ".." however they are written, so it cannot ask for those.
function pathOf(key) {
  if (key.split("/").some(segment => segment === "." || segment === "..")) {
    throw new Error("a browser cannot ask for a key with a segment . or ..; use curl --path-as-is");
  }
  const path = key.split("/").map(encodeURIComponent).join("/");
  return path === "_" || path.startsWith("_/") ? `%5F${path.slice(1)}` : path;
}

// What is shown of a value, and the text that can be edited: only of one that is shown as a whole and is text.
async function preview(response) {
  const whole = new Uint8Array(await response.arrayBuffer());
  const text = new TextDecoder().decode(whole.subarray(0, PREVIEW_BYTES)), all = whole.length <= PREVIEW_BYTES;
  let editable = null;
  try { editable = all ? new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(whole) : null; } catch { /* it is not text */ }
  const binary = text.includes("\uFFFD") || text.includes("\0");
  const shown = binary ? [...whole.subarray(0, PREVIEW_BYTES / 16)].map(byte => byte.toString(16).padStart(2, "0")).join(" ") : text;
  const cut = binary ? whole.length > PREVIEW_BYTES / 16 : !all;
  return { size: whole.length, text: cut ? `${shown} …` : shown, editable };
}

const tell = (text, className) => at("found").replaceChildren(make("p", text, className));

async function lookUp() {
  const facts = make("dl"), add = (name, value) => value !== null && facts.append(make("dt", name), make("dd", value));
  try {
    if (base !== location.origin) throw new Error("the node that this page came from is out of reach: open the page of another");
    const path = pathOf(at("key").value);
    const [owner, response] = await Promise.all([json(`/_/owner/${path}`), ask(`/${path}`)]);
    const value = await preview(response);
    let left = null;
    add("slot", String(owner.slot));
    const holder = response.headers.get("x-hostname");
    add("holder", holder);
    add("belongs to", holder === owner.owner ? null : owner.owner ?? "nobody yet");
    if (response.ok) {
      add("size", bytes(value.size));
      add("type", response.headers.get("content-type"));
      add("version", response.headers.get("etag"));
      left = /max-age=(\d+)/.exec(response.headers.get("cache-control") ?? "")?.[1] ?? null;
      add("time to live", left !== null ? span(Number(left)) : "for ever");
    }
    at("found").replaceChildren(facts, make("pre", value.text));
    at("act").hidden = false;
    at("delete").hidden = !response.ok;
    at("value").value = response.ok ? value.editable ?? "" : "";
    at("whole").hidden = !response.ok || value.editable !== null;
    // What is set again keeps its time and its type, unless they are changed.
    at("ttl").value = left ?? "";
    type = (response.ok && value.editable !== null && response.headers.get("content-type")) || TEXT;
  } catch (error) {
    tell(error.message, "unready");
    at("act").hidden = true;
  }
}

at("lookup").addEventListener("submit", event => { event.preventDefault(); lookUp(); });

function confirmThen(title, yes, withValue, act) {
  at("ask-title").textContent = title;
  at("yes").textContent = yes;
  at("ask-value").hidden = !withValue;
  at("ask").returnValue = "";
  at("ask").onclose = () => at("ask").returnValue === "yes" && act();
  at("ask").showModal();
  // Enter alone deletes nothing.
  at(withValue ? "value" : "no").focus();
}

async function change(key, init, done, query = "") {
  try {
    const response = await ask(`/${pathOf(key)}${query}`, location.origin, init);
    if (!response.ok) throw new Error((await response.json().catch(() => null))?.detail ?? `answered ${response.status}`);
    await lookUp();
    at("found").prepend(make("p", done, "ready"));
  } catch (error) {
    tell(error.message, "unready");
  }
}

at("set").addEventListener("click", () => {
  const key = at("key").value;
  confirmThen(`Set “${key}” for all clients?`, "Set", true, () => {
    const ttl = at("ttl").value;
    change(key, { method: "PUT", body: at("value").value, headers: { "content-type": type } }, "set",
      ttl ? `?ttl=${encodeURIComponent(ttl)}` : "");
  });
});

at("delete").addEventListener("click", () => {
  const key = at("key").value;
  confirmThen(`Delete “${key}” for all clients?`, "Delete", false, () => change(key, { method: "DELETE" }, "deleted"));
});
