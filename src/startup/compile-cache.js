import module from 'node:module';

// Not TypeScript: `npm start` imports it before anything else, so that Node need not even load what takes types out of
// main.ts, which is 50 ms of a start. It also runs on a Node that is too old for the rest, where `npm ci` was forgotten.
const [major = ''] = process.versions.node.split('.');
if (Number(major) < 24) {
  process.stderr.write(
    `PostService needs Node 24 or newer, and this is ${process.version}. "npm ci" installs one; "npm start" and "npx node" use it.\n`,
  );
  process.exit(1);
}
module.enableCompileCache();
