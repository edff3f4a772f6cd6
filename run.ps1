# .\run.ps1 ARGS = the `pepperstone` command in the project's own environment; everything is set up on first use.
#   .\run.ps1 demo          .\run.ps1 --help          .\run.ps1 test [PYTEST ARGS]          .\run.ps1 uv [UV ARGS]
# Needs Windows PowerShell 5.1 or newer, and either uv or any Python 3.8+ with pip. uv finds or downloads Python 3.13.
# Where Windows forbids scripts: powershell -ExecutionPolicy Bypass -File .\run.ps1 demo
$ErrorActionPreference = 'Stop'
$PSNativeCommandUseErrorActionPreference = $false  # exit codes are looked at here

$root = $PSScriptRoot
$uvVersion = '0.13.8'
$tools = Join-Path $root '.tools'
$venv = Join-Path $root '.venv'

function Write-Note([string]$text) { [Console]::Error.WriteLine($text) }

function Stop-WithError([string]$text) {
    Write-Note "error: $text"
    exit 2
}

# A launcher can stand on PATH and still not run (the Store's python, a shim), so ask it.
function Test-Runs([string]$program, [string[]]$arguments) {
    # Windows PowerShell takes each redirected line of a program's stderr for an error; a warning of pip must not stop us.
    $ErrorActionPreference = 'Continue'
    try {
        & $program @arguments *> $null
        return $LASTEXITCODE -eq 0
    } catch {
        return $false
    }
}

function Find-Uv {
    $candidates = @($env:UV, (Join-Path $tools 'uv\bin\uv.exe'), 'uv', (Join-Path $HOME '.local\bin\uv.exe'))
    foreach ($candidate in $candidates) {
        if ($candidate -and (Test-Runs $candidate @('--version'))) { return $candidate }
    }
    return Install-Uv
}

# A private folder of the project, never the system's Python.
function Install-Uv {
    Write-Note "uv is not installed; putting uv $uvVersion into $tools"
    $target = Join-Path $tools 'uv'
    foreach ($python in @('py', 'python', 'python3')) {
        if (-not (Test-Runs $python @('-c', 'import sys; sys.exit(sys.version_info < (3, 8))'))) { continue }
        if (Test-Path $target) { Remove-Item -Recurse -Force $target }
        $arguments = @('-m', 'pip', 'install', '--quiet', '--disable-pip-version-check',
            '--no-warn-script-location', '--target', $target, "uv==$uvVersion")
        if (Test-Runs $python $arguments) {
            $uv = Join-Path $target 'bin\uv.exe'
            if (Test-Runs $uv @('--version')) { return $uv }
        }
    }
    Stop-WithError "uv $uvVersion could not be installed; install it by hand (winget install astral-sh.uv), then run this again"
}

# Sync only when the lock, the project file or the Python changed since the last time that went well.
function Sync-Environment {
    $stamp = Join-Path $venv '.synced'
    $parts = foreach ($name in 'uv.lock', 'pyproject.toml', '.python-version') {
        (Get-FileHash -Algorithm SHA256 (Join-Path $root $name)).Hash
    }
    $key = $parts -join ' '
    $python = Join-Path $venv 'Scripts\python.exe'
    if ((Test-Path $stamp) -and (Test-Path $python) -and ((Get-Content $stamp) -eq $key)) { return }
    $uv = Find-Uv
    Write-Note "setting up the project's environment in $venv (once)"
    if (-not $env:UV_SYSTEM_CERTS) { $env:UV_SYSTEM_CERTS = 'true' }
    $env:UV_PROJECT_ENVIRONMENT = $venv
    & $uv sync --locked --project $root
    if ($LASTEXITCODE -ne 0) {
        Stop-WithError 'the environment could not be set up; if Python 3.13 is what is missing, run `uv python install 3.13` and run this again'
    }
    Set-Content -Path $stamp -Value $key
}

$rest = @($args | Select-Object -Skip 1)
if ($args.Count -gt 0 -and $args[0] -eq 'uv') {
    $uv = Find-Uv
    & $uv @rest
    exit $LASTEXITCODE
}
Sync-Environment
if ($args.Count -gt 0 -and $args[0] -eq 'test') {
    Push-Location $root
    try {
        & (Join-Path $venv 'Scripts\python.exe') -m pytest @rest
    } finally {
        Pop-Location
    }
} else {
    # Hints then name the command as it was typed here.
    $typed = $MyInvocation.InvocationName
    $env:PEPPERSTONE_COMMAND = if ($typed -match '[\\/]') { $typed } else { '.\run.ps1' }
    & (Join-Path $venv 'Scripts\pepperstone.exe') @args
}
exit $LASTEXITCODE
