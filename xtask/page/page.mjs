// The page of a node, in a real browser: three nodes, one joins, one is killed, and the page shows it.
// Usage: node page.mjs BOATO BROWSER DIRECTORY. Screenshots go to DIRECTORY.
import { spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { chromium } from "playwright-core";

const [program, executablePath, shots] = process.argv.slice(2);
const PATIENCE_MS = 60_000;
const dir = mkdtempSync(join(tmpdir(), "boato-page-"));
mkdirSync(shots, { recursive: true });
const nodes = new Map();

async function until(what, look) {
  const deadline = Date.now() + PATIENCE_MS;
  for (let last; ; await new Promise(done => setTimeout(done, 100))) {
    try {
      const found = await look();
      if (found) return found;
    } catch (error) { last = error; }
    if (Date.now() > deadline) throw new Error(`${what}: not in time`, { cause: last });
  }
}

async function start(name, cluster, ...more) {
  const file = join(dir, `${name}.json`), any = "127.0.0.1:0";
  const args = ["run", "--name", name, "--cluster", cluster, "--ready-file", file, "--quic", any, "--http", any, "--resp", any,
    "--resp-cluster", any, ...more];
  const child = spawn(program, args, { env: { TMPDIR: dir }, stdio: "ignore" });
  const { http } = await until(`${name} listens`, () => JSON.parse(readFileSync(file)));
  const node = { name, child, origin: `http://${http}` };
  nodes.set(name, node);
  return node;
}

function expect(holds, what) {
  if (!holds) throw new Error(what);
  console.log(`ok: ${what}`);
}

// What assistive technology and keyboards need, as far as a program sees it.
async function isUsable(page) {
  const unnamed = await page.evaluate(() => [...document.querySelectorAll("input, button, textarea, canvas, a")]
    .filter(element => element.offsetParent && !(element.getAttribute("aria-label") || element.textContent.trim())).length);
  expect(unnamed === 0, "everything to act on has a name");
  await page.locator("body").press("Tab");
  const outline = await page.evaluate(() => getComputedStyle(document.activeElement).outlineStyle);
  expect(outline !== "none", "what the keyboard is on can be seen");
}

async function watch(browser) {
  const [one, two] = [await start("one", "page"), await start("two", "page"), await start("three", "page")];
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, colorScheme: "light" });
  const page = await context.newPage();
  const complaints = [];
  page.on("pageerror", error => complaints.push(error.message));
  await page.goto(`${one.origin}/_/`);
  const row = name => page.locator("#members tr", { hasText: name });
  const state = name => row(name).locator("td").nth(1).textContent();
  const shares = () => page.locator("#legend li").count();
  await until("three nodes share the slots", async () => await shares() === 3 && await page.locator("#members tr").count() === 3);
  expect(await page.locator("#ready").textContent() === "ready", "the node is ready");
  await until("other nodes' figures are read from their own doors", async () =>
    await page.locator("#load tr").count() === 3 && !(await page.locator("#load").textContent()).includes("reach"));
  await until("distances are known", async () => /µs|ms/.test(await page.locator("#rtt").textContent()));
  await isUsable(page);

  for (let i = 0; i < 300; i += 1) await fetch(`${one.origin}/key/${i}`, { method: "PUT", body: `value ${i}` });
  await until("operations are counted", async () => /[1-9]/.test(await page.locator("#load tr td:nth-child(2)").first().textContent()));

  await page.fill("#key", "greeting");
  await page.click("text=Look up");
  await page.waitForSelector("text=key not found");
  await page.click("#set");
  await page.fill("#value", "hello from a browser");
  await page.fill("#ttl", "600");
  await page.click("#ask >> text=Cancel");
  expect((await fetch(`${two.origin}/greeting`)).status === 404, "nothing is written without a confirmation");
  await page.click("#set");
  await page.fill("#value", "hello from a browser");
  await page.click("#yes");
  await page.waitForSelector("#found pre:has-text('hello from a browser')");
  expect((await (await fetch(`${two.origin}/greeting`)).text()) === "hello from a browser", "a key is set for all nodes");
  expect(/10 min|9 min/.test(await page.locator("#found").textContent()), "its time to live is shown");
  await page.screenshot({ path: join(shots, "desk-light.png"), fullPage: true });
  await page.click("#delete");
  await page.click("#yes");
  await page.waitForSelector("text=deleted");
  expect((await fetch(`${two.origin}/greeting`)).status === 404, "a key is deleted");

  await fetch(`${one.origin}/binary?ttl=500`, { method: "PUT", body: new Uint8Array([255, 0, 254]), headers: { "content-type": "image/x" } });
  await page.fill("#key", "binary");
  await page.click("text=Look up");
  await page.waitForSelector("#found dd:has-text('image/x')");
  expect(await page.locator("#found pre").textContent() === "ff 00 fe", "a binary value is shown in hexadecimal digits");
  await page.click("#set");
  const kept = [await page.inputValue("#value"), Number(await page.inputValue("#ttl")) > 400, await page.isVisible("#whole")];
  expect(kept.join() === ",true,true", "a binary value is not damaged by editing, and its time is kept");
  await page.screenshot({ path: join(shots, "dialog-light.png") });
  await page.click("#ask >> text=Cancel");

  await start("four", "page");
  await until("a node that joins is shown with its share", async () => await shares() === 4 && await state("four") === "alive");
  await until("its join is among the events", async () => (await page.locator("#feed").textContent()).includes("four"));
  console.log("ok: a node that joins is shown");
  nodes.get("three").child.kill("SIGKILL");
  await until("a node that is killed is shown as dead", async () => await state("three") === "dead");
  await until("its slots go to others", async () => await shares() === 3);
  console.log("ok: a node that is killed is shown");

  await page.emulateMedia({ colorScheme: "dark" });
  await page.screenshot({ path: join(shots, "desk-dark.png"), fullPage: true });
  await page.setViewportSize({ width: 390, height: 844 });
  const wide = await page.evaluate(() => document.documentElement.scrollWidth > innerWidth);
  expect(!wide, "a phone need not be scrolled sideways");
  await page.screenshot({ path: join(shots, "phone-dark.png"), fullPage: true });

  one.child.kill("SIGKILL");
  await until("the page goes on with another node", async () => (await page.locator("#moved").textContent()).includes("out of reach"));
  await until("which knows that the first is dead", async () => await state("one") === "dead");
  await page.emulateMedia({ colorScheme: "light" });
  await page.screenshot({ path: join(shots, "phone-light.png"), fullPage: true });
  expect(complaints.length === 0, `no error in the page's script (${complaints.join("; ")})`);
  await context.close();
}

async function unlock(browser) {
  const { writeFileSync } = await import("node:fs");
  const file = join(dir, "secret");
  writeFileSync(file, "open-sesame\n", { mode: 0o600 });
  const node = await start("locked", "locked", "--client-secret-file", file);
  const page = await browser.newPage();
  await page.goto(`${node.origin}/_/`);
  await page.fill("#secret", "wrong");
  await page.click("#unlock button");
  await page.waitForSelector("text=This is not the client secret");
  await page.fill("#secret", "open-sesame");
  await page.click("#unlock button");
  await until("the page opens with the secret", async () => await page.locator("#ready").textContent() === "ready");
  console.log("ok: the page asks for the client secret");
}

let failed = false;
const browser = await chromium.launch({ executablePath, args: ["--no-sandbox"] });
try {
  await watch(browser);
  await unlock(browser);
} catch (error) {
  failed = true;
  console.error(error);
  const [page] = browser.contexts().flatMap(context => context.pages());
  await page?.screenshot({ path: join(shots, "failed.png"), fullPage: true });
} finally {
  await browser.close();
  for (const { child } of nodes.values()) child.kill("SIGKILL");
  rmSync(dir, { recursive: true, force: true });
}
process.exit(failed ? 1 : 0);
