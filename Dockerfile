# The service's image: one bundle, and the Node that it was tested with.
#
#   docker build -t postservice .
#   docker run --rm -e DATABASE_URL -e PAGE_TOKEN_SECRET postservice migrate
#   docker run --read-only -e DATABASE_URL -e PAGE_TOKEN_SECRET -p 8080:8080 postservice
#
# The base is Node's own image, in the version that package.json names (test/dockerfile.test.ts holds the two together):
# it is rebuilt when Debian has security fixes, and it has libatomic1, which Node's binaries need since version 25 and
# debian:slim lacks.

FROM node:26.10.0-trixie-slim AS build
WORKDIR /app
# Only when one of these changes does npm ci run again.
COPY package.json package-lock.json ./
COPY scripts ./scripts
RUN npm ci --no-audit --no-fund
COPY client ./client
COPY src ./src
# The production dependencies go into the bundle, as far as they are used; the tools, and the Postgres that is embedded
# where no DATABASE_URL is given, stay behind.
RUN npm run bundle

FROM node:26.10.0-trixie-slim
WORKDIR /app
COPY LICENSE ./
COPY --from=build /app/dist ./dist
# In a container these are reached from outside of it. Publish 8080; 9090 is for operators only.
ENV NODE_ENV=production HOST=0.0.0.0 ADMIN_HOST=0.0.0.0
EXPOSE 8080 9090
# The image's user node, by number, so that Kubernetes sees that it is not root. It owns nothing here: the service writes no
# file, and its file system can be read-only.
USER 1000:1000
# Whether the process answers, not whether it is ready: a restart heals no database.
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s CMD ["node", "-e", "require('node:http').get({ host: '127.0.0.1', port: process.env.ADMIN_PORT || 9090, path: '/livez' }, r => process.exit(r.statusCode === 200 ? 0 : 1)).on('error', () => process.exit(1))"]
# No shell between Docker and node, so that SIGTERM gets to it. Give it more time than SHUTDOWN_GRACE (docker stop -t 15).
ENTRYPOINT ["node", "dist/main.js"]
CMD ["serve"]
