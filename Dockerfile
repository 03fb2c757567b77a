# The service's image: the bundle that npm start runs, and the Node that it was tested with.
#
#   docker build -t postservice .
#   docker run --rm -e DATABASE_URL -e PAGE_TOKEN_SECRET postservice migrate
#   docker run --read-only -e DATABASE_URL -e PAGE_TOKEN_SECRET -p 8080:8080 postservice
#
# The base is Node's own image in the version that package.json names; test/dockerfile.test.ts compares the two. It is rebuilt
# when Debian has security fixes. It has libatomic1, which Node's binaries need since version 25 and debian:slim lacks.

FROM node:26.10.0-trixie-slim AS build
WORKDIR /app
# npm ci runs again only when one of these changes. The base image has Node, and the bundle is built below: no script is needed.
COPY package.json package-lock.json ./
RUN npm ci --ignore-scripts --no-audit --no-fund
COPY scripts ./scripts
COPY gen ./gen
COPY client ./client
COPY src ./src
# The bundle holds the libraries as far as they are used. The tools and the embedded Postgres stay behind.
RUN npm run bundle

FROM node:26.10.0-trixie-slim
WORKDIR /app
COPY LICENSE ./
COPY --from=build /app/dist ./dist
# In a container both ports are reached from outside. Publish 8080 only; 9090 is for operators.
ENV NODE_ENV=production HOST=0.0.0.0 ADMIN_HOST=0.0.0.0
EXPOSE 8080 9090
# The user node, by number, so that Kubernetes sees that it is not root. The service writes no file, so the file system can be
# read-only.
USER 1000:1000
# Checks that the process answers, not that it is ready: a restart does not heal a database.
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s CMD ["node", "-e", "require('node:http').get({ host: '127.0.0.1', port: process.env.ADMIN_PORT || 9090, path: '/livez' }, r => process.exit(r.statusCode === 200 ? 0 : 1)).on('error', () => process.exit(1))"]
# No shell stands between Docker and node, so SIGTERM reaches node. Allow more time than SHUTDOWN_GRACE (docker stop -t 15).
ENTRYPOINT ["node", "dist/main.js"]
CMD ["serve"]
