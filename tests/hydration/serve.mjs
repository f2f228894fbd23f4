// Runs one of the built shops on a free port of loopback and prints the port.
import { createReadStream, existsSync, statSync } from 'node:fs';
import { createServer } from 'node:http';
import { extname, join, normalize } from 'node:path';

const here = import.meta.dirname;
const name = process.argv[2];
const built = (...path) => join(here, name, ...path);

const listeners = {
  async next() {
    process.env.NEXT_TELEMETRY_DISABLED = '1';
    const { default: next } = await import('next');
    const app = next({ dev: false, dir: built() });
    await app.prepare();
    return app.getRequestHandler();
  },
  async nuxt() {
    const { listener } = await import(built('.output/server/index.mjs'));
    return withFiles(built('.output/public'), listener);
  },
  async sveltekit() {
    return (await import(built('build/handler.js'))).handler;
  },
  async 'react-router'() {
    const { createRequestListener } = await import('@react-router/node');
    const build = await import(built('build/server/index.js'));
    return withFiles(built('build/client'), createRequestListener({ build, mode: 'production' }));
  },
};

const TYPES = { '.js': 'text/javascript', '.css': 'text/css' };

// The files under a root, and for everything else the listener.
function withFiles(root, listener) {
  return (request, response) => {
    const path = join(root, normalize('/' + new URL(request.url, 'http://x').pathname));
    if (!existsSync(path) || !statSync(path).isFile()) return listener(request, response);
    response.setHeader('content-type', TYPES[extname(path)] ?? 'application/octet-stream');
    createReadStream(path).pipe(response);
  };
}

const server = createServer(await listeners[name]());
server.listen(0, '127.0.0.1', () => console.log(`PORT ${server.address().port}`));
// Whoever started this holds its other end; without them there is nothing to serve.
process.stdin.on('end', () => process.exit()).resume();
