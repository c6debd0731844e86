// Keeps the page's files, so that it works without a connection. Files under assets/ never change:
// their names hold their content's hash.

const FILES = /* files */ [];
const KEPT = "/* version */";

self.addEventListener("install", (event) => {
  event.waitUntil(caches.open(KEPT).then((cache) => cache.addAll(FILES)));
  self.skipWaiting();
});

self.addEventListener("activate", (event) => {
  event.waitUntil((async () => {
    for (const name of await caches.keys()) if (name !== KEPT) await caches.delete(name);
    await self.clients.claim();
  })());
});

// Kept files first, but for the page itself: that may be newer.
self.addEventListener("fetch", (event) => {
  const { request } = event;
  if (request.method !== "GET" || new URL(request.url).origin !== location.origin) return;
  event.respondWith((async () => {
    const cache = await caches.open(KEPT);
    const kept = await cache.match(request, { ignoreSearch: true });
    if (request.mode !== "navigate" && kept) return kept;
    try {
      const fresh = await fetch(request);
      if (request.url.includes("/assets/") && fresh.ok) await cache.put(request, fresh.clone());
      return fresh;
    } catch (error) {
      if (kept || request.mode === "navigate") return kept || cache.match("./index.html");
      throw error;
    }
  })());
});
