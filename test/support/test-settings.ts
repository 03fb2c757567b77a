/**
 * Settings of a Postgres whose data nobody needs after the test: nothing waits for the disk, and many test files
 * connect at once. What a test sees is the same as with the settings of production.
 */
export const TEST_SETTINGS = {
  fsync: 'off',
  synchronous_commit: 'off',
  full_page_writes: 'off',
  shared_buffers: '64MB',
  max_connections: '300',
};
